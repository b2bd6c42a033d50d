"""What processes do with queues: at module level, as spawned ones look it up."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import time


def echo(source, target):
    """Sends on what comes, up to None."""
    for item in iter(source.get, None):
        target.put(item)
    target.put(None)


def put_all(queue, items):
    for item in items:
        queue.put(item)


def put_and_exit_hard(queue, count, size):
    for nth in range(count):
        queue.put((nth, bytes([nth % 251]) * size))
    os._exit(0)


def put_and_die(queue, count):
    for nth in range(count):
        queue.put(nth)
    os.kill(os.getpid(), signal.SIGKILL)


def produce(queue, who, count):
    """Numbered items of many sizes, each with its checksum."""
    for nth in range(count):
        content = (b"%d:%d" % (who, nth)) * (nth * 7919 % 400)
        queue.put((who, nth, content, hashlib.blake2b(content).digest()))


def consume(queue, results):
    """The numbers of what came, in the order in which it came; None ends it."""
    seen = []
    for who, nth, content, digest in iter(queue.get, None):
        assert hashlib.blake2b(content).digest() == digest
        seen.append((who, nth))
    results.put(seen)


def put_forever(queue):
    # Numbers of processes come again on a busy machine.
    who = os.getpid(), time.monotonic_ns()
    for nth in range(10**9):
        queue.put((who, nth, b"x" * (nth * 37 % 3000)))


def get_forever(queue):
    while True:
        queue.get()


def finish_all(queue, count):
    for _ in range(count):
        queue.get()
        queue.task_done()


def total(queue, count):
    return sum(queue.get() for _ in range(count))


def put_square(queue, number):
    queue.put(number * number)
    return os.getpid()


def wait_for(queue, told):
    told.put("waits")
    try:
        queue.get()
    except KeyboardInterrupt:
        told.put("interrupted")


def wait_for_room(queue, told):
    told.put("waits")
    try:
        queue.put("more")
    except KeyboardInterrupt:
        told.put("interrupted")


def fill_what_may_be_mapped(queue, told):
    """Puts until this process may map no more of it; how many items it has put then."""
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (100 << 20), resource.RLIM_INFINITY))
    item, count = b"x" * (1 << 20), 0
    try:
        while count < 1000:
            queue.put(item)
            count += 1
    except MemoryError as error:
        told.put((count, str(error)))
    told.put("still works")
