"""What is measured of communication between processes and threads: one function per measure, in a process of its own.

    python ipc_work.py FUNCTION SUBJECT '{"parameter": value}'     prints {"metric": value} and ends

Processes that measure are forked and told to begin by a plain pipe, and leave their times in plain memory: only what is
measured is the subject's.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import process_tasks as tasks_
from ipc_subjects import load
from process_work import run

Metrics = dict[str, float]
now = time.monotonic
"""One clock for all processes."""

SECONDS = 3
"""How long a measure that takes many times goes on at most."""


def place(cpus: str, other: int = 0) -> None:
    """Puts this process, and the other one, where the measure wants them, when both have found out how many CPUs there are.

    A process that may use one CPU at its start has nobody to spin for, as far as it can know.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if cpus == "apart":
        os.sched_setaffinity(0, allowed[:1])
        os.sched_setaffinity(other, allowed[1:2] or allowed)


def narrow(cpus: str) -> None:
    """Leaves this process, and all that it will start, one CPU if the measure wants all on one."""
    if cpus == "one-cpu":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


class Times:
    """Numbers that all processes see."""

    def __init__(self, count: int) -> None:
        self.memory = mmap.mmap(-1, 8 * count)

    def __setitem__(self, at: int, value: float) -> None:
        struct.pack_into("d", self.memory, 8 * at, value)

    def __getitem__(self, at: int) -> float:
        value: float = struct.unpack_from("d", self.memory, 8 * at)[0]
        return value


# --- queues ---


def queue(subject: Any, tasks: int, producers: int, consumers: int, payload: int = 0, maxsize: int = 0) -> Metrics:
    """Messages through one queue: small numbers, or bytes."""
    return {"k/s": passed(subject, subject.queue(maxsize), tasks, producers, consumers, payload) / 1e3}


def bounds(subject: Any, tasks: int, maxsize: int) -> Metrics:
    """The same queue with a bound and without one, in turns; the best of three each."""
    free = max(passed(subject, subject.queue(0), tasks, 1, 1) for _ in range(3))
    bound = max(passed(subject, subject.queue(maxsize), tasks, 1, 1) for _ in range(3))
    return {"k/s unbounded": free / 1e3, "k/s bounded": bound / 1e3, "unbounded/bounded": free / bound}


def passed(subject: Any, queue: Any, tasks: int, producers: int, consumers: int, payload: int = 0) -> float:
    """Messages per second, from the first producer's start to the last consumer's end."""
    times = Times(producers + consumers)
    ready, go = os.pipe()

    def produce(at: int, count: int) -> None:
        os.read(ready, 1)
        times[at] = now()
        put = queue.put
        if payload:
            message = os.urandom(payload)
            for _ in range(count):
                put(message)
        else:
            for number in range(count):
                put(number)

    def consume(at: int, count: int) -> None:
        os.read(ready, 1)
        get = queue.get
        # Its ten seconds are the default of faster-fifo, which would raise where another one had to wait longer.
        for _ in range(count):
            get()
        times[at] = now()

    workers = [subject.processes.Process(target=produce, args=(at, tasks // producers)) for at in range(producers)]
    workers += [
        subject.processes.Process(target=consume, args=(producers + at, tasks // consumers)) for at in range(consumers)
    ]
    for worker in workers:
        worker.start()
    time.sleep(0.2)
    os.write(go, b"x" * len(workers))
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, worker
    os.close(ready)
    os.close(go)
    begun = min(times[at] for at in range(producers))
    over = max(times[producers + at] for at in range(consumers))
    return tasks / (over - begun)


def thread_queue(subject: Any, tasks: int, maxsize: int) -> Metrics:
    """Numbers from one thread to another; the best of three."""

    def once() -> float:
        queue = subject.queues.Queue(maxsize)

        def produce() -> None:
            put = queue.put
            for number in range(tasks):
                put(number)

        producer = threading.Thread(target=produce)
        start = now()
        producer.start()
        get = queue.get
        for _ in range(tasks):
            get()
        took = now() - start
        producer.join()
        return tasks / took / 1e3

    return {"k/s": max(once() for _ in range(3))}


# --- one wakes the other ---


def ping_pong(subject: Any, what: str, between: str, tasks: int, cpus: str) -> Metrics:
    """One lets the other go on and waits for the same, again and again."""
    narrow(cpus)
    made = subject.processes if between == "processes" else subject.threads
    # Whose turn it is, where that has to be kept apart.
    turn = mmap.mmap(-1, 1)
    ping, pong = BALLS[what](made, turn)

    def answer() -> None:
        while True:
            pong()

    kind = subject.processes.Process if between == "processes" else threading.Thread
    other = kind(target=answer, daemon=True)
    other.start()
    for _ in range(50):
        ping()
    if between == "processes":
        place(cpus, other.pid)
    return p50(ping, tasks)


def events(made: Any, turn: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    there, back = made.Event(), made.Event()

    def ping() -> None:
        there.set()
        back.wait()
        back.clear()

    def pong() -> None:
        there.wait()
        there.clear()
        back.set()

    return ping, pong


def semaphores(made: Any, turn: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    there, back = made.Semaphore(0), made.Semaphore(0)

    def ping() -> None:
        there.release()
        back.acquire()

    def pong() -> None:
        there.acquire()
        back.release()

    return ping, pong


def conditions(made: Any, turn: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    changed = made.Condition()

    def ping() -> None:
        with changed:
            turn[0] = 1
            changed.notify()
            while turn[0]:
                changed.wait()

    def pong() -> None:
        with changed:
            while not turn[0]:
                changed.wait()
            turn[0] = 0
            changed.notify()

    return ping, pong


BALLS = {"event": events, "semaphore": semaphores, "condition": conditions}


def p50(once: Callable[[], object], tasks: int) -> Metrics:
    """The median of many times, in microseconds."""
    clock = time.perf_counter
    for _ in range(min(tasks // 10, 200)):
        once()
    times = []
    end = clock() + SECONDS
    while len(times) < tasks and clock() < end:
        start = clock()
        once()
        times.append(clock() - start)
    return {"p50 us": statistics.median(times) * 1e6}


def lock(subject: Any, tasks: int) -> Metrics:
    """Taking and giving back a lock that nobody else wants, beside a lock of threads; the best of five each."""
    ours, theirs = subject.processes.Lock(), threading.Lock()
    times = {}
    for name, one in (("ns", ours), ("theirs", theirs)) * 5:
        acquire, release = one.acquire, one.release
        start = time.perf_counter()
        for _ in range(tasks):
            acquire()
            release()
        took = (time.perf_counter() - start) / tasks * 1e9
        times[name] = min(times.get(name, took), took)
    return {"ns": times["ns"], "times threading.Lock's": times["ns"] / times["theirs"]}


# --- pipes ---


def pipe(subject: Any, tasks: int, cpus: str, payload: int = 0) -> Metrics:
    """A message there and back: a number, or bytes."""
    narrow(cpus)
    here, there = subject.processes.Pipe()

    def answer() -> None:
        here.close()
        try:
            while True:
                there.send(there.recv())
        except EOFError:
            pass

    other = subject.processes.Process(target=answer, daemon=True)
    other.start()
    message = os.urandom(payload) if payload else 1

    def once() -> None:
        here.send(message)
        here.recv()

    for _ in range(50):
        once()
    place(cpus, other.pid)
    return p50(once, tasks)


def stream(subject: Any, tasks: int, bytes: int, duplex: bool) -> Metrics:
    """Large messages in one direction, each of which is received before the next is sent; the best of all."""
    receives, sends = subject.processes.Pipe(duplex)
    heard, hears = os.pipe()

    def receive() -> None:
        for _ in range(tasks):
            assert len(receives.recv_bytes()) == bytes
            os.write(hears, b"x")

    subject.processes.Process(target=receive, daemon=True).start()
    message = os.urandom(1 << 16) * (bytes >> 16)
    best = float("inf")
    for _ in range(tasks):
        start = now()
        sends.send_bytes(message)
        os.read(heard, 1)
        best = min(best, now() - start)
    return {"GB/s": bytes / best / 1e9}


# --- pools ---


def pool(subject: Any, how: str, kind: str, tasks: int, workers: int) -> Metrics:
    """A pool's ways of calling a function for many small items; the best of three."""
    made = (subject.processes.Pool if kind == "processes" else subject.thread_pool)(workers)

    def once(count: int) -> float:
        values = range(count)
        start = now()
        if how == "map":
            found = sum(made.map(tasks_.increment, values))
        elif how == "imap_unordered":
            found = sum(made.imap_unordered(tasks_.increment, values))
        else:
            found = sum(result.get() for result in [made.apply_async(tasks_.increment, (n,)) for n in values])
        took = now() - start
        assert found == count * (count + 1) // 2
        return count / took / 1e3

    once(500)
    return {"k items/s": max(once(tasks) for _ in range(3))}


# --- what it costs to have one ---


def setup(subject: Any, what: str, tasks: int) -> Metrics:
    """Making one, and using it once; the median."""
    processes = subject.processes
    makers: dict[str, Callable[[], object]] = {
        "queue": lambda: used_queue(processes),
        "pipe": lambda: used_pipe(processes),
        "lock": lambda: processes.Lock().acquire(),
        "memory": lambda: used_memory(subject),
        "process": lambda: used_process(processes),
    }
    return p50(makers[what], tasks)


def used_queue(processes: Any) -> None:
    queue = processes.Queue()
    queue.put(1)
    assert queue.get() == 1
    queue.close()
    queue.join_thread()


def used_pipe(processes: Any) -> None:
    one, other = processes.Pipe()
    with one, other:
        one.send(1)
        assert other.recv() == 1


def used_memory(subject: Any) -> None:
    memory = subject.memory(4096)
    memory.buf[0] = 1
    memory.close()
    memory.unlink()


def used_process(processes: Any) -> None:
    process = processes.Process(target=int)
    process.start()
    process.join()


# --- ways that have nothing to do with the subject, for comparison ---


def bare(subject: Any, way: str, tasks: int) -> Metrics:
    """There and back by what the kernel offers, in plain Python."""
    return p50({"socket": by_socket, "signal": by_signal, "memory": by_memory}[way](), tasks)


def forked(answer: Callable[[], object]) -> int:
    pid = os.fork()
    if not pid:
        try:
            while True:
                answer()
        finally:
            os._exit(0)
    return pid


def by_socket() -> Callable[[], object]:
    here, there = socket.socketpair()
    forked(lambda: there.sendall(there.recv(64)))

    def once() -> None:
        here.sendall(b"x" * 64)
        here.recv(64)

    return once


def by_signal() -> Callable[[], object]:
    numbers = {signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    parent = os.getpid()

    def answer() -> None:
        signal.sigwait(numbers)
        os.kill(parent, signal.SIGUSR1)

    other = forked(answer)

    def once() -> None:
        os.kill(other, signal.SIGUSR1)
        signal.sigwait(numbers)

    return once


def by_memory() -> Callable[[], object]:
    """A megabyte in and out of memory that both have: the copies alone, as somebody has to say when they are there."""
    memory = mmap.mmap(-1, 1 << 20)
    message = os.urandom(1 << 20)

    def once() -> None:
        memory[:] = message
        assert len(memory[:]) == 1 << 20

    return once


if __name__ == "__main__":
    run(globals(), load)
