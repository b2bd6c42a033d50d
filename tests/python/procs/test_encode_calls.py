"""What the encoder makes of functions and arguments; scripts show what the worker makes of that."""

from __future__ import annotations

import ctypes
import functools
import gc
import math
import operator
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from forkful._encode import CALL, KEYWORDS, PRELUDE, Encoder
from forkful._worker import Worker

HERE = Path(__file__).resolve().parent


class Library:
    """A library of bounded room, and a worker in this very process."""

    def __init__(self, mode: Any = "inherited", room: int = 1 << 20, **options: Any) -> None:
        self.entries: list[bytes] = []
        self.room = room
        self.encoder = Encoder(self.define, mode, **options)
        self.worker = Worker(self.entries.__getitem__)

    def define(self, entry: bytes) -> int | None:
        if len(self.entries) >= self.room:
            return None
        self.entries.append(entry)
        return len(self.entries) - 1

    def run(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        number, definitions, flags, payload, _ = self.encoder.encode(fn, args, kwargs)
        self.worker.catch_up(definitions)
        found, args, kwargs, *context = self.worker.load(flags, payload)
        if number >= 0:
            found = self.worker.function(number)
        value = self.worker.call(found, args, kwargs, context[0] if context else None)
        return self.encoder.decode(self.worker.dump(value))


def script(text: str, *args: str, seconds: float = 60) -> str:
    """Runs a guardless script with the driver at hand, and returns what it printed."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *args],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=seconds,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_module_s_function_goes_by_one_entry() -> None:
    library = Library()
    first = library.encoder.encode(math.sqrt, (4,), None)
    assert first[:3] == (0, 0, 0)
    assert pickle.loads(first[3]) == (4,)
    assert library.encoder.encode(math.sqrt, (9,), {})[:3] == (0, 0, 0)
    assert len(library.entries) == 1
    assert library.entries[0][:1] == b"F"
    assert library.run(math.sqrt, 16) == 4


def test_keywords_and_calls_have_their_flags() -> None:
    library = Library()
    assert library.encoder.encode(int, ("12",), {"base": 3})[2] == KEYWORDS
    assert library.encoder.encode(functools.partial(int, base=3), ("12",), None)[:3] == (-1, 0, CALL)
    assert library.run(int, "12", base=3) == 5
    assert library.run(functools.partial(int, base=3), "12") == 5
    assert library.run([3, 1, 2].index, 2) == 2


def test_a_function_whose_name_means_another_goes_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    original = textwrap.dedent
    assert library.encoder.by_number(original) is not None
    monkeypatch.setattr(textwrap, "dedent", lambda text: "replaced")
    assert library.encoder.by_number(original) is None
    assert library.run(original, "  a") == "a"
    assert library.run(textwrap.dedent, "  a") == "replaced"


def test_by_number_says_how_to_check() -> None:
    library = Library()
    found = library.encoder.by_number(operator.add)
    assert found is not None
    number, definitions, scope, name, uses = found
    assert (number, definitions, uses) == (0, 0, [])
    assert scope[name] is operator.add
    assert library.encoder.by_number(lambda: 1) is None
    assert library.encoder.by_number([].append) is None
    assert library.encoder.by_number(functools.partial(int)) is None


def test_a_lambda_gets_an_entry_at_its_second_use() -> None:
    library = Library()

    def make(n: int) -> Any:
        return lambda x: x + n

    assert library.encoder.encode(make(1), (1,), None)[0] == -1
    assert library.encoder.encode(make(1), (1,), None)[0] == 0
    assert library.encoder.encode(make(1), (1,), None)[0] == 0
    assert library.encoder.encode(make(2), (1,), None)[0] == -1
    assert [library.run(make(n), 1) for n in (1, 2, 2, 3, 1000, 1000, 1001)] == [2, 3, 3, 4, 1001, 1001, 1002]


def test_a_cell_or_a_default_that_changes_in_place_is_seen() -> None:
    library = Library()
    box = [1]
    got = []
    for n in range(1, 4):
        box[0] = n
        got += [library.run(lambda: box[0]), library.run(lambda b=box: b[0])]
        got += [library.run(lambda: box[0]), library.run(lambda b=box: b[0])]
    assert got == [1] * 4 + [2] * 4 + [3] * 4


def test_closures_without_end_do_not_fill_the_library() -> None:
    library = Library()
    assert [library.run(lambda n=n: n) for n in range(200)] == list(range(200))
    assert not library.entries


def test_a_full_library_puts_all_into_the_task() -> None:
    library = Library(room=0)
    assert library.run(math.sqrt, 4) == 2
    assert library.run(lambda: 5) == 5
    assert library.run(lambda: 5) == 5
    assert library.encoder.by_number(math.sqrt) is None


def test_what_pickling_raises_comes_to_the_caller() -> None:
    library = Library()
    with pytest.raises(TypeError, match="lock"):
        library.encoder.encode(print, (threading.Lock(),), None)
    # A format that no cast can give back.
    odd = memoryview((ctypes.c_int * 2 * 2)())
    with pytest.raises(TypeError, match="cast it to bytes"):
        library.encoder.encode(print, (odd,), None)
    with open(__file__) as file, pytest.raises(TypeError):
        library.encoder.encode(print, (file,), None)


def test_multiprocessing_s_reductions_are_used() -> None:
    library = Library()
    one, other = socket.socketpair()
    with one, other:
        payload = library.encoder.encode(print, (one,), None)[3]
        assert b"multiprocessing" in payload


def test_what_was_pickled_by_value_is_let_go_at_once() -> None:
    class Thing:
        pass

    library, thing = Library(), Thing()
    alive = weakref.ref(thing)
    gc.disable()
    try:
        library.encoder.encode(lambda thing: None, (thing,), None)
        del thing
        # A socket, for one, would stay open until a collection came by.
        assert alive() is None
    finally:
        gc.enable()


def test_local_classes_come_back_as_themselves() -> None:
    class Local:
        changed = 0

        def me(self) -> Any:
            return self

        @property
        def twice(self) -> int:
            return 2

    library = Library()
    back = library.run(Local().me)
    assert type(back) is Local
    assert back.twice == 2


FULL = """
import sys, drive
K = 1
class C:
    def get(self): return K
def f(c): return c.get()
for room in (0, 1, 2, 3):
    K = 1
    with drive.Pool("spawn", room=room) as pool:
        got = [pool(f, C()), pool(f, C())]
        K = 2
        got += [pool(f, C()), pool(lambda: K), pool(lambda: type(C()) is C)]
        for K in range(20):
            got.append(pool(f, C()) == K)
        print(room, got, pool.mode, len(pool.library))
"""


def test_definitions_travel_with_the_task_if_the_library_is_full() -> None:
    lines = script(FULL).splitlines()
    for room, line in enumerate(lines):
        assert line == f"{room} {[1, 1, 2, 2, True] + [True] * 20} by-value {room}"
    assert len(lines) == 4


BAD_GLOBAL = """
import sys, threading, drive
lock = threading.Lock()
def f(): return lock
def g(): return 1
with drive.Pool("spawn") as pool:
    try:
        pool(f)
    except TypeError as error:
        print(error)
    print(pool(g))
    lock = 5
    print(pool(f))
with drive.Pool("fork") as pool:
    late = threading.Lock()
    def h(wanted): return late if wanted else 7
    print(pool(h, False))
"""


def test_a_global_that_cannot_be_sent_is_named() -> None:
    first, *rest = script(BAD_GLOBAL).splitlines()
    assert "global 'lock' of __main__" in first
    assert rest == ["1", "5", "7"]


MISSING = """
import sys, drive
class Broken:
    def __reduce__(self): return (exec, ("raise ValueError('not here')",))
THING = Broken()
def f(): return THING
def g(): return 1
with drive.Pool("spawn") as pool:
    print(pool(g))
    try:
        pool(f)
    except NameError as error:
        print(error, "not here" in str(error.__cause__))
    print(pool(g))
"""


def test_a_definition_that_does_not_load_is_the_cause_where_it_is_missed() -> None:
    assert script(MISSING).splitlines() == ["1", "name 'THING' is not defined True", "1"]


CONTEXT = """
import contextvars, decimal, sys, threading, drive
mine = contextvars.ContextVar("mine", default="default")
bad = contextvars.ContextVar("bad", default=None)
class Value:
    def __init__(self, n): self.n = n
def f(): return mine.get() if isinstance(mine.get(), str) else mine.get().n
def g(): return bad.get()
def setter(): mine.set("left over")
for method in ("fork", "spawn"):
    with drive.Pool(method, propagate_context=True) as pool:
        got = [pool(f)]
        token = mine.set("one")
        got += [pool(f), pool(setter), pool(f)]
        mine.set(Value(3))
        got.append(pool(f))
        mine.reset(token)
        bad.set(threading.Lock())
        got += [pool(f), pool(g)]
        bad.set(None)
        with decimal.localcontext() as context:
            context.prec = 5
            got.append(pool(lambda: str(decimal.Decimal(1) / 3)))
        print(got)
"""


def test_context_variables_travel() -> None:
    fork, spawn = script(CONTEXT).splitlines()
    # decimal's variable is C's own and in no module, so its context stays behind.
    expected = ["default", "one", None, "one", 3, "default", None, "0.3333333333333333333333333333"]
    assert fork == spawn == str(expected)


BY_NUMBER = """
import math, drive
K = 5
def plain(x): return math.sqrt(x)
def helped(x): return plain(x)
def uses(x): return x + K
class Thing: pass
def main():
    for method in ("fork", "spawn"):
        with drive.Pool(method) as pool:
            print(pool.mode, [pool.encoder.by_number(fn) is not None for fn in (plain, helped, uses, Thing)])
if __name__ == "__main__":
    main()
"""


def test_by_number_is_for_functions_that_use_no_variables(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(BY_NUMBER)
    out = script(
        f"import runpy, sys; sys.path.insert(0, {str(HERE)!r}); runpy.run_path({str(path)!r}, run_name='__main__')"
    )
    assert out.splitlines() == ["inherited [True, True, False, True]", "imported [True, True, False, True]"]
    # At a prompt every name is defined again sooner or later.
    assert script(BY_NUMBER).splitlines() == [
        "inherited [True, False, False, True]",
        "by-value [False, False, False, False]",
    ]


KINDS = """
import abc, asyncio, functools, typing, drive
T = typing.TypeVar("T")
P = typing.ParamSpec("P")
N = typing.NewType("N", int)
K = 4
class Abstract(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class Concrete(Abstract, typing.Generic[T]):
    def f(self): return 3
class Meta(type):
    def __call__(cls, *args): return super().__call__(*args)
class Made(metaclass=Meta):
    x = 1
def annotated(n: N, p: "P" = None) -> "Concrete[int]":
    return Concrete().f(), Made().x, N(n), P.__name__
@functools.singledispatch
def kind(x): return "object"
@kind.register
def _(x: int): return "int"
def kinds(*args): return [kind(x) for x in args]
async def coroutine(): return K
def run(): return asyncio.run(coroutine())
class Thing:
    @property
    def p(self): return K
    @staticmethod
    def s(): return K
    @classmethod
    def c(cls): return cls
    def __call__(self): return self.p
    @functools.lru_cache
    def cached(self): return K
for method in ("fork", "spawn"):
    with drive.Pool(method) as pool:
        print([pool(annotated, 2), pool(kinds, 1, "a"), pool(run), pool(Thing()), pool(Thing.s), pool(Thing.c) is Thing,
               pool(Thing().cached), pool(lambda: kind(1)), pool(lambda: N(1))])
"""


def test_kinds_of_things_that_a_main_module_defines() -> None:
    fork, spawn = script(KINDS).splitlines()
    assert fork == spawn == str([(3, 1, 2, "P"), ["int", "object"], 4, 4, 4, True, 4, "int", 1])


THREADS = """
import drive, threading
K = 0
def f(x): return x + K
results = []
with drive.Pool("spawn") as pool:
    def work():
        for i in range(100):
            results.append(pool(f, i) == i and pool(lambda i=i: f(i)) == i)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print(len(results), all(results))
"""


def test_many_threads_encode_at_once() -> None:
    assert script(THREADS).split() == ["800", "True"]


def test_threads_share_one_encoder() -> None:
    library = Library()
    numbers: list[tuple[int, int, int]] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        numbers.extend(library.encoder.encode(operator.mul, (i, i), None)[:3] for i in range(500))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 4000
    assert {numbers[0][1:]} == {number[1:] for number in numbers}


def test_the_prelude_is_flagged() -> None:
    library = Library(propagate_context=True)
    assert library.encoder.encode(abs, (1,), None)[2] == PRELUDE
    assert library.run(abs, -1) == 1
    assert library.run(int, "12", base=3) == 5


def test_start_holds_initializer_and_arguments() -> None:
    library = Library("by-value")
    seen: list[int] = []
    data = library.encoder.encode_start(seen.append, (1,))
    assert library.encoder.request()["mode"] == "by-value"
    from forkful._worker import _begin

    assert _begin(library.worker, {"start": data}) is None
    assert _begin(library.worker, {"start": library.encoder.encode_start(None, ())}) is None


class Buffered:
    """Sends what it holds as numpy's arrays do: as a buffer."""

    def __init__(self, content: Any) -> None:
        self.content = bytes(content)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Buffered, (pickle.PickleBuffer(self.content),)


def content_of(buffered: Buffered) -> bytes:
    return buffered.content


# Below the size from which on buffers stay outside.
@pytest.mark.parametrize("size", [1000, 50_000, 65_000])
def test_a_buffer_that_is_not_large_stays_in_the_pickle(size: int) -> None:
    content = os.urandom(size)
    assert Library().run(content_of, Buffered(content)) == content
    assert Library().run(Buffered, content).content == content
