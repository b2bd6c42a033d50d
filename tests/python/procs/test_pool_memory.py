"""Little memory: the kernel's killer costs one task, which says so; the program itself is not what is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from child import run_clean
from eventually import eventually

METHODS = ["fork", "zygote", "spawn"]
MEGABYTES = 256


def candidates() -> Iterator[Path]:
    """Where a group for memory might be made, of either version."""
    root = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield root / "memory" / path.strip("/")
            yield root / "memory"
        elif not controllers:
            yield root / path.strip("/")
            yield root


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[str]:
    """A control group with so much memory and no swap."""
    reasons = []
    for place in candidates():
        group = place / f"forkful-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            reasons.append(f"{group}: {error.strerror}")
            continue
        try:
            limit(group)
        except OSError as error:
            group.rmdir()
            reasons.append(f"{group}: {error.strerror}")
            continue
        yield str(group)
        assert eventually(lambda: is_removed(group)), group  # noqa: B023
        return
    pytest.skip(
        f"no control group for memory can be made, only the unit tests of the decision run: {'; '.join(reasons)}"
    )


def limit(group: Path) -> None:
    size = str(MEGABYTES << 20)
    if (group / "memory.limit_in_bytes").exists():
        (group / "memory.limit_in_bytes").write_text(size)
        if (group / "memory.memsw.limit_in_bytes").exists():
            (group / "memory.memsw.limit_in_bytes").write_text(size)
    else:
        (group / "memory.max").write_text(size)
        if (group / "memory.swap.max").exists():
            (group / "memory.swap.max").write_text("0")


def is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


INSIDE = """
import sys, time
from pathlib import Path
from forkful import ProcessPoolExecutor, WorkerDied

def eat(megabytes):
    eaten = bytearray(megabytes << 20)
    for page in range(0, len(eaten), 4096):
        eaten[page] = 1
    return len(eaten)

def echo(value): return value

def enter():
    Path(sys.argv[2], "cgroup.procs").write_text("0")

def fails_alone(future):
    # What it may end with, and what that says.
    error = future.exception()
    if isinstance(error, WorkerDied):
        assert error.out_of_memory and "for lack of memory" in str(error), error
    elif error is not None:
        assert isinstance(error, (MemoryError, ValueError)), error
    return error is not None
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_task_that_eats_too_much_is_told_why_it_died(method: str, group: str) -> None:
    out = run_clean(
        INSIDE
        + """
if __name__ == "__main__":
    enter()
    with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
        other = pool.submit(time.sleep, 0.5)
        greedy = pool.submit(eat, 1024)
        print(fails_alone(greedy), greedy.exception().signal, greedy.exception().peak_memory > 50 << 20)
        print(other.exception(), pool.submit(eat, 10).result() >> 20, pool.stats().deaths)
        modest = pool.with_options(retries=1).submit(eat, 1024)
        print(fails_alone(modest), modest.exception().attempts)
""",
        method,
        group,
        seconds=100,
    )
    assert out == "True 9 True\nNone 10 1\nTrue 2\n"


@pytest.mark.parametrize("method", METHODS)
def test_payloads_that_do_not_fit_cost_their_own_task(method: str, group: str) -> None:
    out = run_clean(
        INSIDE
        + """
if __name__ == "__main__":
    enter()
    with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
        failed = [fails_alone(pool.submit(echo, bytes(megabytes << 20))) for megabytes in (1, 4, 10, 30, 50, 60)]
        # At the latest where the value, its pickle and one copy are all there is room for.
        print(failed[:2], pool.submit(echo, "well").result())
""",
        method,
        group,
        seconds=100,
    )
    assert out == "[False, False] well\n"


def test_many_large_payloads_do_not_kill_the_program(group: str) -> None:
    out = run_clean(
        INSIDE
        + """
if __name__ == "__main__":
    enter()
    with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
        value = bytes(8 << 20)
        futures = [pool.submit(len, value) for _ in range(60)]
        failed = sum(map(fails_alone, futures))
        print(failed < 60, pool.submit(echo, "well").result())
""",
        "fork",
        group,
        seconds=100,
    )
    assert out == "True well\n"


@pytest.mark.parametrize("method", METHODS)
def test_workers_are_chosen_before_their_parent(method: str) -> None:
    out = run_clean(
        """
        import sys
        from pathlib import Path
        from forkful import ProcessPoolExecutor
        def score(): return int(Path("/proc/self/oom_score_adj").read_text())
        if __name__ == "__main__":
            with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
                print(pool.submit(score).result() - score())
        """,
        method,
    )
    assert out == "100\n"
