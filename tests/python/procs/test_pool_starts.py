"""Starts that take long, and what is left when the parent dies meanwhile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from child import Child
from eventually import eventually
from procs.test_pool_faults import alive_in

from forkful import ProcessPoolExecutor

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


ORPHANS = """
    import os
    import sys
    import time

    how = sys.argv[2]
    if __name__ != "__main__" and how == "main":
        time.sleep(600)

    from forkful import ProcessPoolExecutor

    if __name__ == "__main__":
        # In C, with the interpreter's lock: no Python code could look after the parent meanwhile.
        with open("slow_module.py", "w") as file:
            file.write("sum(range(10**12))")
        sys.path.insert(0, os.getcwd())
        preload = ["slow_module"] if how == "preload" else []
        pool = ProcessPoolExecutor(1, start_method=sys.argv[1], preload=preload)
        future = pool.submit(time.sleep, 600)
        print("go", flush=True)
        future.result()
"""


@pytest.mark.parametrize(("method", "how"), [("zygote", "preload"), ("zygote", "main"), ("spawn", "main")])
def test_what_imports_for_long_ends_with_the_parent(
    method: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Child(ORPHANS, method, how) as child:
        child.await_line("go")
        session = child.process.pid
        # The zygote, or the launcher with its worker, has come as far as its import.
        assert eventually(lambda: len(alive_in(session)) > 1 + (method == "spawn"))
        time.sleep(0.5)
        child.process.kill()
        child.process.wait()
        assert eventually(lambda: alive_in(session) == []), alive_in(session)


@pytest.mark.parametrize("method", ["fork", "zygote"])
def test_a_worker_that_is_busy_before_its_birth_was_heard_of_is_not_waited_for(method: str) -> None:
    for _ in range(20):
        with ProcessPoolExecutor(2, start_method=method) as pool:
            blocker = pool.submit(time.sleep, 60)
            # Nobody sleeps here: the worker is at work before the watcher has read that it was born.
            while not blocker.running():
                pass
            assert pool.submit(abs, -1).result(timeout=30) == 1
            assert blocker.kill()
