"""Signals: a worker reads its settings again at SIGHUP, and finishes what it has begun at SIGTERM."""

import json
import os
import signal
import tempfile
from multiprocessing import Pipe, Process

HANDLED = {signal.SIGHUP, signal.SIGTERM}


def serve(path, report):
    """In the worker: a signal is only taken note of where it may be, so no call of this program is ever cut short by one."""
    # They are held back by the kernel until `sigwait` asks; a handler would run between any two instructions.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    settings = load(path)
    report.send(("started", settings))
    while True:
        if signal.sigwait(HANDLED) == signal.SIGTERM:
            break
        try:
            settings = load(path)
        except ValueError:
            # Whoever has made a mistake in the file keeps a worker that runs.
            report.send(("kept", settings))
        else:
            report.send(("reloaded", settings))
    report.send(("stopped", settings))


def load(path):
    with open(path) as file:
        return json.load(file)


def save(path, text):
    """In one step, so that nobody reads half of it."""
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "settings.json")
        save(path, '{"level": "info", "limit": 10}')
        reports, report = Pipe(duplex=False)
        worker = Process(target=serve, args=(path, report))
        worker.start()
        print(*reports.recv())

        for text in ('{"level": "debug", "limit": 10}', '{"level": ', '{"level": "info", "limit": 99}'):
            save(path, text)
            os.kill(worker.pid, signal.SIGHUP)
            # A signal carries no message and isn't answered: the pipe says when it was heard.
            print(*reports.recv())

        worker.terminate()
        print(*reports.recv())
        worker.join()
        print("exit code", worker.exitcode)


if __name__ == "__main__":
    main()
