"""Functions whose answer is known, for the probe: in a module of their own, as a user's are."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
import time
import zlib
from typing import Any

DATA = bytes(range(256)) * 2048


def nap(seconds: float = 0.002) -> None:
    time.sleep(seconds)


def loop(turns: int = 20_000) -> int:
    total = 0
    for turn in range(turns):
        total += turn * turn
    return total


def half(seconds: float = 0.004) -> None:
    """Sleeps for half of its CPU-time's length: whatever else the machine does, a half of it computes."""
    time.sleep(seconds)
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def compress(data: bytes = DATA) -> bytes:
    return zlib.compress(data, 6)


def digest(data: bytes = DATA) -> bytes:
    return hashlib.sha256(data).digest()


def tiny(one: int, other: int) -> int:
    return one + other


def talk(address: tuple[str, int]) -> bytes:
    """A round trip to a server that takes its time."""
    with socket.create_connection(address) as connection:
        connection.sendall(b"x")
        return connection.recv(1)


def hold(lock: Any) -> int:
    return loop(2000)


def makes_lock() -> Any:
    return threading.Lock()


def squares(count: int) -> Any:
    for number in range(count):
        yield number * number


def for_ever() -> Any:
    while True:
        yield 0


async def anap(seconds: float = 0.002) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def aloop(turns: int = 20_000) -> int:
    return loop(turns)


async def asquares(count: int) -> Any:
    for number in range(count):
        yield number * number


def refuses(number: int, bad: int) -> int:
    if number == bad:
        raise ValueError(f"{number} is not welcome")
    return loop(2000)


def dies_elsewhere(home: int) -> int:
    if os.getpid() != home:
        os._exit(3)
    return loop(2000)


def raises_elsewhere(home: int) -> int:
    if os.getpid() != home:
        raise RuntimeError("only at home")
    return loop(2000)


def hangs_elsewhere(home: int) -> int:
    if os.getpid() != home:
        time.sleep(600)
    return loop(2000)


def hangs_in_threads() -> int:
    if threading.current_thread() is not threading.main_thread():
        time.sleep(600)
    return loop(2000)


def sorts(numbers: list[int]) -> None:
    numbers.sort()


def keywords(one: int, *, other: int = 0) -> int:
    return loop(one + other)


def total(table: Any, row: int) -> float:
    return float(table[row].sum()) + loop(2000)


def fills(table: Any, value: int) -> int:
    table[:] = value
    return loop(2000)


class Machine:
    """Has a method to be looked at, and can be called itself."""

    def __init__(self, turns: int) -> None:
        self.turns = turns

    def work(self) -> int:
        return loop(self.turns)

    def __call__(self) -> int:
        return loop(self.turns)


_seen: dict[int, int] = {}


def remembers(number: int) -> int:
    if number not in _seen:
        _seen[number] = loop(100_000)
    return _seen[number]


def note_call(path: str, number: int) -> None:
    """Leaves a trace of each call, whichever process it is made in."""
    with open(path, "a", encoding="ascii") as file:
        file.write(f"{number}\n")
    loop(2000)


def bad_squares() -> Any:
    yield 1
    raise ValueError("no more squares")


async def arefuses() -> None:
    await asyncio.sleep(0)
    raise ValueError("not me")


def speaks() -> None:
    print("hello")
    time.sleep(0.002)
