"""Numbers and strings travel without a pickler, and arrive as what they were."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pytest

from forkful import ProcessPoolExecutor

BORDERS = (0, 1, -1, 255, 256, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**40)
TEXTS = ("", "a", "ß", "日本", "\0", "x" * 23, "x" * 24, "x" * 300_000, "\ud800", "\U0001f600")


class Number(int):
    pass


class Text(str):
    pass


def echo(*values: Any) -> Any:
    return values[0] if len(values) == 1 else values


def kinds(*values: Any) -> str:
    return " ".join(type(value).__name__ for value in values)


@pytest.fixture(scope="module")
def pool() -> Any:
    with ProcessPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize(
    "value", (None, True, False, *BORDERS, *TEXTS, b"", b"\0\xff", b"y" * 70_000, 1.5, -0.0, math.inf, 1j)
)
def test_there_and_back(pool: Any, value: Any) -> None:
    back = pool.submit(echo, value).result()
    assert (type(back), back) == (type(value), value)
    assert math.copysign(1, back) == math.copysign(1, value) if type(value) is float else True


def test_not_a_number(pool: Any) -> None:
    odd = struct.unpack("d", struct.pack("Q", 0x7FF8_0000_DEAD_BEEF))[0]
    assert struct.pack("d", pool.submit(echo, odd).result()) == struct.pack("d", odd)


def test_arguments_keep_their_order_and_their_kinds(pool: Any) -> None:
    values = (1, "1", b"1", 1.0, True, None, "", -1)
    assert pool.submit(echo, *values).result() == values
    assert pool.submit(kinds, *values).result() == "int str bytes float bool NoneType str int"


def test_subclasses_stay_what_they_are(pool: Any) -> None:
    number, text = pool.submit(echo, Number(3)).result(), pool.submit(echo, Text("three")).result()
    assert (type(number), number, type(text), text) == (Number, 3, Text, "three")
    assert pool.submit(kinds, Number(3), 4).result() == "Number int"


def test_the_value_is_read_once(pool: Any) -> None:
    future = pool.submit(echo, "x" * 50)
    assert future.result() is future.result()
    future = pool.submit(echo, 10**15)
    assert future.result() is future.result()
    assert future.exception() is None


def test_many_at_random(pool: Any) -> None:
    dice = random.Random(7)

    def one() -> Any:
        match dice.randrange(5):
            case 0:
                return dice.randrange(-(2**70), 2**70) >> dice.randrange(71)
            case 1:
                return dice.uniform(-1e300, 1e300)
            case 2:
                return "".join(chr(dice.randrange(1, 0xD800)) for _ in range(dice.randrange(40)))
            case 3:
                return dice.randbytes(dice.randrange(60))
            case _:
                return dice.choice((None, True, False))

    calls = [tuple(one() for _ in range(dice.randrange(1, 6))) for _ in range(2000)]
    futures = [pool.submit(echo, *call) for call in calls]
    for call, future in zip(calls, futures, strict=True):
        assert future.result() == echo(*call)


SHORT = """
    import os
    import resource

    from forkful import ProcessPoolExecutor, wait

    MIB = 1 << 20


    def allow(extra):
        '''So many bytes of address space more than there are, or any number.'''
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard if extra is None else size + extra, hard))
        return os.getpid()


    def make(value):
        return value * (64 * MIB)


    if __name__ == "__main__":
        with ProcessPoolExecutor(1) as pool:
            for value in ("x", b"x"):
                future = pool.submit(make, value)
                wait([future])
                allow(32 * MIB)
                told = [future.exception()]
                try:
                    future.result()
                except MemoryError as error:
                    told.append(error)
                allow(None)
                print([(type(error).__name__, str(64 * MIB)[:5] in str(error)) for error in told])
                # Asked again, it is there, and remains the same.
                print(len(future.result()) == 64 * MIB, future.result() is future.result(), future.exception())
                del future
        for argument in ("x" * (64 * MIB), b"x" * (64 * MIB)):
            with ProcessPoolExecutor(1) as pool:
                # There is memory for the bytes, and none for the object.
                pid = pool.submit(allow, 32 * MIB).result()
                error = pool.submit(len, argument).exception()
                print(type(error).__name__, str(64 * MIB)[:5] in str(error), pool.submit(allow, None).result() == pid)
                print(pool.submit(len, argument).result() == 64 * MIB)
"""


def test_there_may_be_no_memory_for_a_value(run_clean: Any) -> None:
    there = ["[('MemoryError', True), ('MemoryError', True)]", "True True None"]
    assert run_clean(SHORT).splitlines() == [*there, *there, *["MemoryError True True", "True"] * 2]
