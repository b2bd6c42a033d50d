"""Objects of the main module that pickle as a name: sentinels and singletons stay what they are, wherever they were defined."""

from __future__ import annotations

from typing import Any

import pytest

SCRIPT = """
import sys

from forkful import ProcessPoolExecutor


def same(value, other=None):
    return value


{guard}
    pool = ProcessPoolExecutor(1, start_method=sys.argv[1])
    if sys.argv[2] == "late":
        pool.submit(abs, 1).result(timeout=50)  # the workers' main module has nothing of the following

    class Sentinel:
        def __reduce__(self):
            return "MISSING"

    class Slotted:
        __slots__ = ("name",)

        def __init__(self, name):
            self.name = name

        def __reduce_ex__(self, protocol):
            return self.name

    class Fixed(int):
        def __reduce__(self):
            return "FIVE"

    class Counted:
        calls = 0

        def __reduce__(self):
            Counted.calls += 1
            return Counted, ()

    class Holder:
        NONE = None

        def __reduce__(self):
            return "Holder.NONE"

    MISSING = Sentinel()
    MISSING.note = "a note"
    SLOT = Slotted("SLOT")
    FIVE = Fixed(5)
    Holder.NONE = Holder()

    def is_missing(value):
        return value is MISSING and value.note == "a note"

    def default(value=MISSING):
        return value is MISSING

    def others(slot, five, none):
        return slot is SLOT and slot.name == "SLOT" and five is FIVE and five == 5 and none is Holder.NONE

    def run(function, *args):
        return pool.submit(function, *args).result(timeout=50)

    for _ in range(2):
        assert run(is_missing, MISSING) is True
        assert run(default) is True
        assert run(others, SLOT, FIVE, Holder.NONE) is True
        assert run(lambda value: value is MISSING, MISSING) is True
        assert run(lambda value=MISSING: value is MISSING) is True
        assert run(same, MISSING) is MISSING and run(same, [SLOT])[0] is SLOT and run(same, FIVE) is FIVE
    stray = Sentinel()
    problem = pool.submit(same, stray).exception(timeout=50)
    assert "not the same object" in str(problem), repr(problem)
    run(same, Counted(), lambda: 1)
    calls = Counted.calls
    pool.shutdown()
    print(calls)
"""


@pytest.mark.parametrize("guard", ("if __name__ == '__main__':", "if True:"), ids=("guarded", "guardless"))
@pytest.mark.parametrize("when", ("early", "late"))
@pytest.mark.parametrize("method", ("fork", "zygote", "spawn"))
def test_sentinels(method: str, when: str, guard: str, run_clean: Any) -> None:
    assert int(run_clean(SCRIPT.format(guard=guard), method, when)) <= 2
