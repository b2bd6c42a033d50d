"""The tests of CPython's suites that are not asked of forkful, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
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
    """From, to: on these the test must be there, or the entry has outlived it."""
    perhaps: tuple[tuple[int, int], ...] = ()
    """Versions of which only some releases have it."""

    def applies(self, suite: str, version: tuple[int, int]) -> bool:
        return suite == self.suite and (self.is_due(version) or version in self.perhaps)

    def is_due(self, version: tuple[int, int]) -> bool:
        return self.versions[0] <= version <= self.versions[1]

    def matches(self, test_id: str) -> bool:
        return fnmatchcase(test_id, self.pattern)


METHODS = ("fork", "forkserver", "spawn")

_OF_PROCESSES = {
    "*.WithProcessesTestQueue.test_queue_feeder_*": (
        "asserts that a value that can't be pickled is noticed later, by a thread; here there is no such thread, and put() raises"
    ),
    **dict.fromkeys(
        ("*.WithProcessesTestCondition.test_notify", "*.WithProcessesTestCondition.test_notify_*"),
        "counts the sleepers by the private semaphores of the standard library's Condition",
    ),
    "*.WithProcessesTestPoolWorkerErrors.test_unpickleable_result": (
        "asserts that a lambda can't be a task's result; here it travels by value"
    ),
    "*.TestSimpleQueue.test_closed": "looks at the private ends of the standard library's pipe",
    "*.TestPoolNotLeakOnFailure.test_release_unused_processes": (
        "hands the pool a mock for its context, whose processes fail to start; the engine starts them otherwise"
    ),
    "*.TestResourceTracker.test_resource_tracker_sigkill": (
        "asserts that a new semaphore finds the tracker dead and says so; ours has no name, which a tracker would have to know"
    ),
}


def _of_processes() -> Iterator[Entry]:
    for method in METHODS:
        for pattern, reason in _OF_PROCESSES.items():
            yield Entry(f"multiprocessing-{method}", pattern, reason)
    yield Entry(
        "multiprocessing-spawn",
        "*.TestStartMethod.test_mixed_startmethod",
        "asserts that a queue of a context that forks is refused by a process that is spawned; here it travels",
        versions=((3, 12), (3, 99)),
        perhaps=((3, 11),),
    )


TABLE = (
    *_of_processes(),
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
    *(
        Entry(
            "processes",
            f"*DeadlockTest.{test}",
            "asserts that a value that can't be unpickled breaks the whole pool; here it fails its own future, with what "
            "unpickling raised, as a task's own error does",
        )
        for test in (
            "test_error_at_task_unpickle",
            "test_exit_at_task_unpickle",
            "test_error_during_result_unpickle_in_result_handler",
            "test_exit_during_result_unpickle_in_result_handler",
        )
    ),
    Entry(
        "processes",
        "*.test_python_finalization_error",
        "asserts that a pool breaks when the thread of its call queue can't be started; a pool needs no such thread here, and "
        "works",
        # Fixed in 3.12.1 and 3.11.6.
        versions=((3, 13), (3, 99)),
        perhaps=((3, 11), (3, 12)),
    ),
    Entry(
        "processes",
        "*ShutdownTest.test_processes_terminate",
        "submits a semaphore, which can't be pickled, and asserts that there are workers all the same; here such a task fails "
        "at once and none is started for it",
    ),
    Entry(
        "processes",
        "*.test_saturation",
        "the same with a semaphore's method",
    ),
    Entry(
        "processes",
        "*ShutdownTest.test_cancel_futures",
        "asserts that some tasks count as running before there is a worker, as they have left a queue; here a task can be "
        "cancelled until a worker has it, and shutdown(cancel_futures=True) cancels all of them",
    ),
    Entry(
        "threading",
        "test_threading.EventTests.test_at_fork_reinit",
        "takes the private condition inside an event; ours has none, and tests/python/threads/test_fork.py says what becomes of "
        "events in a child",
    ),
    Entry(
        "threading",
        "test_threading.ThreadTests.test_import_from_another_thread",
        "its script asserts that threading is not imported yet; putting our classes into it has imported it",
    ),
    Entry(
        "threading",
        "test_threading.ThreadTests.test_no_refcycle_through_target",
        "asserts that nothing keeps the exception that a thread has raised; ours keeps it, with its traceback, for exception()",
    ),
    Entry(
        "threading",
        "test_threading.MiscTestCase.test__all__",
        "asserts that the classes' __module__ is threading; ours says where they are from",
    ),
    *(
        Entry(
            "threading",
            f"test_threading.ExceptHookTests.{test}",
            "asserts that a thread that has raised is gone at once; ours and its exception, whose traceback knows it, go "
            "when the collector comes, which newer versions of this assertion call",
            versions=((3, 10), (3, 10)),
        )
        for test in (
            "test_custom_excepthook",
            "test_custom_excepthook_fail",
            "test_excepthook",
            "test_original_excepthook",
            "test_system_exit",
        )
    ),
)
