"""What the source of a main module says about its names, and when a value counts as changed."""

from __future__ import annotations

import gc
import pickle
import textwrap
import tracemalloc
import types
import weakref
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import pytest

from forkful._guard import Bound, bound_names
from forkful._namespace import _groups, _Name
from forkful._unchanged import snapshot


def bound(text: str, folder: Path) -> Bound:
    file = folder / "source.py"
    file.write_text(textwrap.dedent(text))
    module = types.ModuleType("__main__")
    module.__file__ = str(file)
    found = bound_names(module)
    assert found is not None
    return found


def test_bound_names(tmp_path: Path) -> None:
    found = bound(
        """
        import os.path as where, sys.path
        from x import *
        A, (B, *C) = 1, (2, 3)
        for D in (): pass
        with open(E0) as E: pass
        try: F = 1
        except ValueError as G: H = 2
        def I():
            global J
            K = 1
        class L:
            M = 1
        if (N := 1): pass
        [O for O in ()]
        if __name__ == "__main__":
            P = 1
            import Q.R
            def S(): T = 1
        else:
            U = 1
        """,
        tmp_path,
    )
    assert found.always == {"where", "sys", "*", *"ABCDEFGHILNU"}
    assert found.guarded == {"P", "Q", "S"}
    assert found.declared == {"J"}
    assert found.has_guard


@pytest.mark.parametrize(
    ("text", "guard"),
    [
        ("if __name__ == '__main__': pass", True),
        ("if '__main__' == __name__: pass", True),
        ("if __name__ == '__main__' and x: pass", True),
        ("def f():\n    if __name__ == '__main__': pass", False),
        ("if __name__ != '__main__': pass", False),
        ("", False),
    ],
)
def test_guards(text: str, guard: bool, tmp_path: Path) -> None:
    assert bound(text, tmp_path).has_guard is guard


def test_no_source_is_no_answer(tmp_path: Path) -> None:
    module = types.ModuleType("__main__")
    assert bound_names(module) is None
    module.__file__ = str(tmp_path / "absent.py")
    assert bound_names(module) is None


take = snapshot


class Colour(Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (None, False),
        (1, True),
        (1000, 1001),
        ("a", "b"),
        (1.0, 1),
        (0.0, -0.0),
        ((1, "a"), (1, "b")),
        (types, pickle),
    ],
)
def test_plain_values(value: Any, other: Any) -> None:
    check = take(value)
    assert check(value)
    assert not check(other)


def test_equal_numbers_and_strings_are_unchanged() -> None:
    assert take(int("12345"))(int("12345"))
    assert take((int("12345"), "a"))((int("12345"), "a"))
    assert not take(1)(True)


def test_small_containers_are_known_by_their_content() -> None:
    value: dict[str, Any] = {"a": [1]}
    check = take(value)
    assert check({"a": [1]})
    value["a"].append(2)
    assert not check(value)


def test_big_containers_are_known_by_identity() -> None:
    value = list(range(100_000))
    check = take(value)
    assert check(value)
    assert not check(list(value))
    value[50_000] = -1
    assert check(value)  # documented: rebind to change
    value.append(1)
    assert not check(value)


def test_nothing_big_is_kept_alive() -> None:
    class Big:
        def __init__(self) -> None:
            self.data = bytes(10_000)

    value = Big()
    alive = weakref.ref(value)
    check = take(value)
    assert check(value)
    del value
    gc.collect()
    assert alive() is None
    assert not check(Big())
    assert not check(None)


def test_functions_by_code_cells_and_defaults() -> None:
    def make(cell: Any, default: Any) -> Any:
        def function(x: Any = default) -> Any:
            return cell, x

        return function

    check = take(make([1], 2))
    assert check(make([1], 2))
    assert not check(make([2], 2))
    assert not check(make([1], 3))
    assert not check(take)
    marked = make([1], 2)
    marked.mark = 1
    assert not check(marked)


def test_a_function_may_hold_itself() -> None:
    def make(n: int) -> Any:
        def down(x: int) -> int:
            return n if x == 0 else down(x - 1)

        return down

    check = take(make(1))
    assert check(make(1))
    assert not check(make(2))


def test_classes_by_their_members() -> None:
    class Thing:
        items: ClassVar[list[int]] = []
        number = 1

        def method(self) -> None: ...

    check = take(Thing)
    assert check(Thing)
    pickle.DEFAULT_PROTOCOL, Thing().method()
    assert check(Thing)
    Thing.items.append(1)
    assert not check(Thing)
    check = take(Thing)
    Thing.number = 2
    assert not check(Thing)
    check = take(Thing)
    Thing.method = lambda self: None  # type: ignore[method-assign]
    assert not check(Thing)
    assert take(Colour)(Colour)


def test_groups_come_in_the_order_of_need() -> None:
    def named(*needs: str) -> _Name:
        entry = _Name(lambda now: True, frozenset())
        entry.needs_first = frozenset(needs)
        return entry

    names = {
        "a": named("b", "c"),
        "b": named("d"),
        "c": named("e"),
        "d": named("b"),
        "e": named("gone"),
        "f": named("a"),
    }
    order = [sorted(group) for group in _groups(names)]
    assert sorted(order) == [["a"], ["b", "d"], ["c"], ["e"], ["f"]]
    position = {name: index for index, group in enumerate(order) for name in group}
    assert position["b"] < position["a"] < position["f"]
    assert position["e"] < position["c"] < position["a"]


def test_a_long_chain_of_needs_is_no_recursion() -> None:
    names = {}
    for n in range(5000):
        entry = _Name(lambda now: True, frozenset())
        entry.needs_first = frozenset({str(n + 1)})
        names[str(n)] = entry
    assert list(_groups(names)) == [[str(n)] for n in reversed(range(5000))]


def test_asking_runs_nothing_of_the_program_s() -> None:
    class Careful:
        def __reduce__(self) -> Any:
            raise AssertionError("asked")

    class Ordinary:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

    one, other = Careful(), Careful()
    assert take(one)(one)
    assert not take(one)(other)
    box = [one]
    check = take(box)
    assert check([one])
    box[0] = other
    assert not check(box)
    thing = Ordinary({"a": lambda: 1})
    check = take(thing)
    assert check(thing)
    thing.inner["b"] = 1
    assert not check(thing)


def test_big_buffers_are_not_copied() -> None:
    value = {"data": bytearray(1 << 28)}
    tracemalloc.start()
    try:
        check = take(value)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert check(value)
