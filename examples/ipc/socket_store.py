"""A socket: a small store of numbers behind a Unix socket, with clients that could be written in any language."""

import json
import os
import socket
import tempfile
from multiprocessing import Event, Process
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Lock, Thread

CLIENTS, TURNS = 3, 50


class Store(ThreadingUnixStreamServer):
    """One thread for each connection."""

    daemon_threads = True

    def __init__(self, path):
        super().__init__(path, Request)
        self.numbers, self.lock = {}, Lock()


class Request(StreamRequestHandler):
    """A line of JSON comes, a line of JSON goes back, until the client has gone."""

    def handle(self):
        for line in self.rfile:
            request = json.loads(line)
            with self.server.lock:
                numbers = self.server.numbers
                if request["do"] == "add":
                    numbers[request["key"]] = numbers.get(request["key"], 0) + request["by"]
                answer = numbers.get(request["key"])
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def serve(path, listening, over):
    with Store(path) as store:
        Thread(target=store.serve_forever).start()
        listening.set()
        over.wait()
        store.shutdown()


class Client:
    """The other end."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")

    def ask(self, **request):
        self.file.write(json.dumps(request) + "\n")
        self.file.flush()
        return json.loads(self.file.readline())

    def close(self):
        self.file.close()
        self.socket.close()


def add(path, name):
    client = Client(path)
    for turn in range(TURNS):
        client.ask(do="add", key="everybody", by=1)
        client.ask(do="add", key=name, by=turn)
    client.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "store")
        listening, over = Event(), Event()
        server = Process(target=serve, args=(path, listening, over))
        server.start()
        listening.wait()
        clients = [Process(target=add, args=(path, f"client {number}")) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        client = Client(path)
        for key in ("everybody", "client 0", "client 2", "nobody"):
            print(f"{key}: {client.ask(do='get', key=key)}")
        client.close()
        over.set()
        server.join()
        print("exit code", server.exitcode)


if __name__ == "__main__":
    main()
