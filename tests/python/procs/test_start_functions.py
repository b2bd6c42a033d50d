"""Initializers and finalizers of every kind, for every way to start a worker, in scripts with a guard and without one."""

from __future__ import annotations

from typing import Any

import pytest

BODY = """
import functools
import os
import pathlib
import sys
import tempfile

from forkful import ProcessPoolExecutor


class Thing:
    def start(self):
        set_it("method")

    def __call__(self):
        set_it("object")


def set_it(value):
    os.environ["SET"] = value


def plain():
    set_it("plain")


def get():
    return os.environ.get("SET")


def leave(path, note="left"):
    with open(path, "a") as file:
        file.write(note)


def leave_plain():
    leave(os.environ["LEFT"], "plain")


{guard}
    def guarded():
        set_it("guarded")

    def leave_guarded():
        leave(os.environ["LEFT"], "guarded")

    def closing(value):
        return lambda: set_it(value)

    def leaving(note):
        return lambda: leave(os.environ["LEFT"], note)

    method = sys.argv[1]
    folder = tempfile.mkdtemp()
    os.environ["LEFT"] = path = os.path.join(folder, "left")
    starts = {{
        "lambda": lambda: set_it("lambda"),
        "plain": plain,
        "guarded": guarded,
        "closure": closing("closure"),
        "method": Thing().start,
        "object": Thing(),
        "partial": functools.partial(lambda value: set_it(value), "partial"),
    }}
    ends = {{
        "lambda": lambda: leave(os.environ["LEFT"], "lambda"),
        "plain": leave_plain,
        "guarded": leave_guarded,
        "closure": leaving("closure"),
        "partial": functools.partial(lambda note: leave(os.environ["LEFT"], note), "partial"),
    }}
    for name, initializer in starts.items():
        finalizer = ends.get(name)
        with ProcessPoolExecutor(1, start_method=method, initializer=initializer, finalizer=finalizer) as pool:
            assert pool.submit(get).result(timeout=50) == name
        if finalizer is not None:
            assert pathlib.Path(path).read_text() == name
            os.unlink(path)
    for name, finalizer in ends.items():
        with ProcessPoolExecutor(1, start_method=method, finalizer=finalizer) as pool:
            assert pool.submit(abs, -1).result(timeout=50) == 1
        assert pathlib.Path(path).read_text() == name
        os.unlink(path)
    os.rmdir(folder)
    print("done")
"""


@pytest.mark.parametrize("guard", ("if __name__ == '__main__':", "if True:"), ids=("guarded", "guardless"))
@pytest.mark.parametrize("method", ("fork", "zygote", "spawn"))
def test_functions_of_every_kind(method: str, guard: str, run_clean: Any) -> None:
    assert run_clean(BODY.format(guard=guard), method) == "done\n"


UNREADABLE = """
import os

from forkful import ProcessPoolExecutor


class Unreadable:
    def __reduce__(self):
        return read, (os.getpid(),)


def read(parent):
    if os.getpid() != parent:
        raise LookupError("can't be read here")


def take(value):
    pass


if __name__ == "__main__":
    with ProcessPoolExecutor(1, start_method="spawn", initializer=take, initargs=(Unreadable(),)) as pool:
        error = pool.submit(abs, 1).exception(timeout=50)
    print(repr(error.__cause__))
"""


def test_what_a_worker_cannot_read_at_its_start_is_the_cause(run_script: Any) -> None:
    assert 'LookupError("can\'t be read here")' in run_script(UNREADABLE).stdout
