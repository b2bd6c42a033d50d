"""What tasks see of changes in the main module, as the documentation has it."""

from __future__ import annotations

from typing import Any

import pytest

SCRIPT = """
    import sys

    from forkful import ProcessPoolExecutor


    class Config:
        limit = 1


    class Other:
        limit = 3


    TABLE = [1]


    def lean():
        return Config.limit


    def default(value=1):
        return value


    def calls():
        return default()


    def rich():
        return Config.limit, default(), TABLE


    def count(box=[]):
        box.append(1)
        return len(box)


    if __name__ == "__main__":
        with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:

            def run(function):
                return pool.submit(function).result(timeout=50)

            print(run(lean), run(default), run(calls), run(rich))
            Config.limit = 2
            default.__defaults__ = (2,)
            TABLE.append(2)
            print(run(lean), run(default), run(calls), run(rich))
            sys.modules["__main__"].Config = Other
            print(run(lean), run(rich))
            by_value = lambda box=[]: (box.append(1), len(box))[1]
            print([run(count) for _ in range(3)], [run(by_value) for _ in range(5)])
"""


@pytest.mark.parametrize("method", ("fork", "zygote", "spawn"))
def test_bindings_are_seen_and_changes_in_lean_functions_are_not(method: str, run_clean: Any) -> None:
    assert run_clean(SCRIPT, method).splitlines() == [
        "1 1 1 (1, 1, [1])",
        "1 1 1 (2, 2, [1, 2])",
        "3 (3, 2, [1, 2])",
        "[1, 2, 3] [1, 2, 3, 4, 5]",
    ]
