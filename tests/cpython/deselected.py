"""The tests of CPython's suites that are not asked of forkful, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

ANY = ((3, 10), (3, 99))


@dataclass(frozen=True)
class Entry:
    """One deselected test; `pattern` is a shell pattern over `module.Class.test`, without `test.`."""

    suite: str
    pattern: str
    reason: str
    versions: tuple[tuple[int, int], tuple[int, int]] = ANY

    def applies(self, suite: str, version: tuple[int, int]) -> bool:
        return suite == self.suite and self.versions[0] <= version <= self.versions[1]

    def matches(self, test_id: str) -> bool:
        return fnmatchcase(test_id, self.pattern)


TABLE = (
    Entry(
        "futures",
        "*.ThreadPoolExecutorTest.test_default_workers",
        "asserts the standard library's count of CPUs; ours also heeds affinity and the cgroup's quota, on every "
        "version, so the two differ in a container with a CPU limit",
    ),
    Entry(
        "futures",
        "*.FutureTests.test_exception_with_success",
        "finishes a future by assigning its private _state and _exception under its private _condition, which no "
        "public program does; the state is the engine's word, moved by transitions only",
    ),
    Entry(
        "processes",
        "*DeadlockTest.test_*_unpickle*",
        "asserts that a value that can't be unpickled breaks the whole pool; here it fails its own future, with the error that "
        "unpickling raised",
    ),
    Entry(
        "processes",
        "*.test_shutdown_deadlock_pickle",
        "joins the private _executor_manager_thread; there is no such thread",
    ),
    Entry(
        "processes",
        "*ShutdownTest.test_del_shutdown",
        "reads the private _executor_manager_thread and _call_queue",
    ),
    Entry(
        "processes",
        "*ShutdownTest.test_shutdown_no_wait",
        "reads the private _executor_manager_thread and _call_queue",
    ),
    Entry(
        "processes",
        "*.test_python_finalization_error",
        "replaces the private start of the call queue's feeder thread; there is none",
    ),
    Entry(
        "processes",
        "*ShutdownTest.test_processes_terminate",
        "asserts how many entries the private _processes has: fork starts all workers at the first submission there; "
        "here, as with the other methods, as many as the work needs",
    ),
    Entry(
        "processes",
        "*ShutdownTest.test_cancel_futures",
        "asserts that some tasks count as begun before there is a worker, as they have left a queue; here a task has begun when "
        "a worker has it, and until then shutdown(cancel_futures=True) cancels it",
    ),
    Entry(
        "processes",
        "*.test_saturation",
        "submits methods of a semaphore, which can't be pickled, and asserts that there are workers all the same; here "
        "such a task fails at once and none is started for it",
    ),
)
