"""Measures which work two threads do at the same time, and for which they take turns.

    python gil.py [SCALE]

SCALE makes every piece of work that many times as large; without it, the whole takes about four seconds.
"""

import hashlib
import json
import os
import random
import socket
import statistics
import sys
import sysconfig
import threading
import time
import zlib

from forkful import ThreadPoolExecutor

SCALE = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
ROUNDS = 3

WORDS = [f"{random.Random(seed).random()}" for seed in range(200)]
TEXT = " ".join(random.Random(1).choices(WORDS, k=int(250_000 * SCALE) + 1)).encode()
TREE = [{"name": word, "numbers": list(range(20))} for word in WORDS] * (int(60 * SCALE) + 1)


def loop():
    return sum(n * n for n in range(int(1_500_000 * SCALE)))


def sleep():
    time.sleep(0.1 * SCALE)


def ask(address):
    """Waits for the answer of a server that thinks about it for a while."""
    with socket.create_connection(address) as connection:
        connection.sendall(b"?")
        return connection.recv(1)


def sort(numbers):
    numbers.copy().sort()


def answer_slowly(listener):
    """The server: a thread for each question."""

    def answer(connection):
        with connection:
            connection.recv(1)
            time.sleep(0.1 * SCALE)
            connection.sendall(b"!")

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def works(address):
    """Names of work, and what does it."""
    yield "time.sleep", sleep
    yield "a socket", lambda: ask(address)
    yield "zlib.compress", lambda: zlib.compress(TEXT)
    yield "hashlib.sha256", lambda: hashlib.sha256(TEXT * 15).digest()
    try:
        import numpy
    except ModuleNotFoundError:
        pass
    else:
        numbers = numpy.random.default_rng(1).random(int(4_000_000 * SCALE) + 1)
        yield "numpy, sorting", lambda: sort(numbers)
    yield "json.dumps", lambda: json.dumps(TREE)
    yield "a Python loop", loop


def seconds(run, work):
    start = time.perf_counter()
    list(run(lambda _: work(), range(2)))
    return time.perf_counter() - start


def main():
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    build = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "usual"
    print(f"A {build} build of Python {sys.version.split()[0]}; its GIL is {'on' if enabled else 'off'}.")
    print(f"This program may use {len(os.sched_getaffinity(0))} CPUs.\n")
    print(f"{'the same work twice':24}{'in turn':>10}{'2 threads':>12}{'times as fast':>16}")
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(2) as threads:
        threading.Thread(target=answer_slowly, args=(listener,), daemon=True).start()
        for name, work in works(listener.getsockname()):
            work()  # what only the first call does is done
            # Both ways in each round, so that a machine that is slower for a moment favours neither.
            rounds = [(seconds(map, work), seconds(threads.map, work)) for _ in range(ROUNDS)]
            alone, together = (statistics.median(each) for each in zip(*rounds, strict=True))
            print(f"{name:24}{alone:8.3f} s{together:10.3f} s{alone / together:14.1f} x")


if __name__ == "__main__":
    main()
