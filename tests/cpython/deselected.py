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
)
