"""A semaphore: twelve processes download pages, and never more than three of them at once."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Process, Queue, Semaphore
from urllib.request import urlopen

PAGES, AT_ONCE = 12, 3


class Pages(BaseHTTPRequestHandler):
    """A server of one's own, which sees how many are with it at the same time."""

    lock = threading.Lock()
    present = most = 0

    def do_GET(self):
        with Pages.lock:
            Pages.present += 1
            Pages.most = max(Pages.most, Pages.present)
        time.sleep(0.02)
        body = f"page {self.path}\n".encode() * 100
        # Before the answer: whoever has it may have let the next one in already.
        with Pages.lock:
            Pages.present -= 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def download(url, places, sizes):
    """In each process: waits for one of the places, and gives it back whatever happens."""
    with places, urlopen(url) as page:
        sizes.put(len(page.read()))


def main():
    places, sizes = Semaphore(AT_ONCE), Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    base = f"http://127.0.0.1:{server.server_port}"
    downloads = [Process(target=download, args=(f"{base}/{number}", places, sizes)) for number in range(PAGES)]
    for process in downloads:
        process.start()
    # The server's thread comes after the children: a fork knows nothing of other threads.
    threading.Thread(target=server.serve_forever).start()
    total = sum(sizes.get() for _ in downloads)
    for process in downloads:
        process.join()
    server.shutdown()
    server.server_close()
    print(PAGES, "pages,", total, "bytes")
    print("at most", AT_ONCE, "at once" if Pages.most <= AT_ONCE else f"were allowed, {Pages.most} came")


if __name__ == "__main__":
    main()
