"""Starts that take long, and what is left when the parent dies meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

SLOW_MAIN = """
    import os
    import sys
    import time

    if __name__ != "__main__":
        # Longer than the limit of a start that hangs, which is made short for this.
        time.sleep(2.5)

    from forkful import ProcessPoolExecutor


    def square(x):
        return x * x


    if __name__ == "__main__":
        os.environ["FORKFUL_START_SECONDS"] = "1"
        with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
            print(pool.submit(square, 3).result(), pool.stats().deaths)
"""


@pytest.mark.parametrize("method", ["zygote", "spawn"])
def test_a_main_module_may_take_its_time(method: str, run_clean: Any) -> None:
    assert run_clean(SLOW_MAIN, method) == "9 0\n"
