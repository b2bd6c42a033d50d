"""Runs CPython's own installed test suites, in place, against forkful.

    python tests/cpython/run.py [--suite futures|processes|asyncio|threading|queue|multiprocessing-fork|...]...
                                [--reference] [PATTERN...]

With --reference the standard library is tested instead: what fails then fails on this machine without us. A test that
fails against forkful is asked again in that way, in a process of its own, and counts as ours only if it passes there.
Exit code 0 means that tests ran, that forkful was in use, and that none of ours failed.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import faulthandler
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import groupby
from multiprocessing.pool import ThreadPool
from operator import itemgetter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import deselected
import stand_in
import suites

# Longer than the slowest test here (about 10 s, ten times that on a busy machine); past it all stacks are dumped.
WATCHDOG_SECONDS = 180
# A pool's own threads end after its last process; a busy machine takes its time. What stays behind longer is a failure.
PATIENCE_SECONDS = 10
# The exit code by which test programs say "skipped" since automake.
NO_SUCH_SUITE = 77


class Result(unittest.TextTestResult):
    """Restarts the watchdog for each test, and holds a test to leaving no thread behind."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.left_threads: list[str] = []

    def startTest(self, test: unittest.TestCase) -> None:
        faulthandler.dump_traceback_later(WATCHDOG_SECONDS, exit=True)
        _support().environment_altered = False
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        if _support().environment_altered:
            self.left_threads.append(short_id(test.id()))

    def broken(self) -> set[str]:
        """Ids of all that went wrong; a failing setUpClass or module has an id of its own kind."""
        ids = {short_id(test.id()) for test, _ in self.failures + self.errors}
        ids |= {short_id(getattr(test, "test_case", test).id()) for test, _ in self.failures + self.errors}
        ids |= {short_id(test.id()) for test in self.unexpectedSuccesses}
        # A subtest's id is its test's with the parameters behind it.
        return {test_id.split(" ")[0] for test_id in ids} | set(self.left_threads)


def _support() -> Any:
    return importlib.import_module("test.support")


def short_id(test_id: str) -> str:
    return test_id.removeprefix("test.")


def flatten(tests: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def be_patient() -> None:
    """Gives threads that are about to end the time for it, which 3.10 gives none and later versions a second."""
    helper = importlib.import_module("test.support.threading_helper")
    cleanup = helper.threading_cleanup

    def wait_and_clean_up(count: int, *others: Any) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while _thread._count() > count and time.monotonic() < until:
            time.sleep(0.01)
        cleanup(count, *others)

    helper.threading_cleanup = wait_and_clean_up


def load(suite: suites.Suite, reference: bool) -> list[unittest.TestCase]:
    """Imports the suite's modules and returns their tests; forkful is in place when this returns."""
    be_patient()
    if suite.threads and not reference:
        stand_in.install_threads()
    modules = [importlib.import_module(f"test.{module}") for module in suite.present()]
    # The modules' neighbours too: on newer Pythons futures and mixins are in a module of their own, util.
    packages = tuple(f"{module.__package__}." for module in modules if module.__package__ != "test")
    family = [module for key, module in sys.modules.items() if module in modules or key.startswith(packages)]
    if reference:
        pass
    elif suite.threads:
        stand_in.adopt_threads(family)
    else:
        stand_in.adopt(family)
        stand_in.check(family)
    found: list[unittest.TestCase] = []
    loader = unittest.TestLoader()
    for module in modules:
        for cls in vars(module).values():
            ours = isinstance(cls, type) and issubclass(cls, unittest.TestCase) and cls.__module__ == module.__name__
            if ours and suite.wanted(cls):
                found.extend(flatten(loader.loadTestsFromTestCase(cls)))
    return found


def sift(name: str, tests: list[unittest.TestCase], patterns: list[str], use_table: bool) -> list[unittest.TestCase]:
    """Leaves out what the table deselects, aloud, and fails on an entry that no longer matches anything."""
    version = sys.version_info[:2]
    entries = [e for e in deselected.TABLE if e.applies(name, version)] if use_table else []
    unused = {entry for entry in entries if entry.is_due(version)}
    kept = []
    for test in tests:
        test_id = short_id(test.id())
        entry = next((e for e in entries if e.matches(test_id)), None)
        if entry is not None:
            unused.discard(entry)
        wanted = not patterns or any(fnmatchcase(test_id, p) for p in patterns)
        if entry is not None and wanted:
            print(f"deselected: {test_id}: {entry.reason}")
        elif wanted:
            kept.append(test)
    if unused:
        sys.exit(f"deselected.py names tests that are not there: {sorted(e.pattern for e in unused)}")
    return kept


def in_classes(tests: list[unittest.TestCase]) -> unittest.TestSuite:
    """Each class's tests in a suite of its own, as setUpClass wants them.

    And as each suite lets go of a test that has run, though of the last one only when it has ended itself: what tests have
    made, such as semaphores, is gone when their module is cleaned up. Nobody else may hold the tests.
    """
    return unittest.TestSuite(map(unittest.TestSuite, map(itemgetter(1), groupby(tests, type))))


def fails_without_us(name: str, ids: list[str]) -> set[str]:
    """Those of the given tests that fail against the standard library too, each asked in its own process."""
    same = set()
    for test_id in ids:
        command = [sys.executable, __file__, "--reference", "--suite", name, test_id]
        if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 1:
            same.add(test_id)
    return same


def run_suite(name: str, args: argparse.Namespace) -> int:
    suite = suites.SUITES[name]
    python = f"CPython {sys.version.split()[0]}"
    if name == "processes":
        # What the suite asserts after a crash is the standard library's way, which a program can have by this word.
        os.environ["FORKFUL_ON_CRASH"] = "break"
    # Before anything looks for a test module, as looking for test.a.b imports test.a.
    if not args.reference:
        stand_in.install()
    if not suite.present():
        print(f"SKIPPED: suite {name}: {python} at {sys.base_prefix} was installed without test.{suite.modules[0]}")
        return NO_SUCH_SUITE
    tests = in_classes(sift(name, load(suite, args.reference), args.patterns, not (args.reference or args.all)))
    runner = unittest.TextTestRunner(
        stream=sys.stdout, verbosity=2 if args.verbose else 0, resultclass=Result, warnings="default"
    )
    started = time.monotonic()
    result = runner.run(tests)
    faulthandler.cancel_dump_traceback_later()
    assert isinstance(result, Result)

    broken = sorted(result.broken())
    for test_id in result.left_threads:
        print(f"left threads behind: {test_id}")
    known = set() if args.reference or not broken else fails_without_us(name, broken)
    for test_id in sorted(known):
        print(f"fails with the standard library too, here, and is not counted: {test_id}")
    failed = len(broken) - len(known)
    passed = result.testsRun - len(broken) - len(result.skipped)
    against = "the standard library" if args.reference else f"forkful at {sys.modules['forkful'].__file__}"
    print(f"{name}: {python} against {against}, {time.monotonic() - started:.0f} s", flush=True)
    if args.tally:
        with open(args.tally, "a") as tally:
            tally.write(f"{passed} {failed} {len(result.skipped)}\n")
    if result.testsRun == 0:
        print(f"{name}: no test ran", file=sys.stderr)
        return 2
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--suite", action="append", choices=sorted(suites.SUITES), help="may be repeated")
    parser.add_argument("--reference", action="store_true", help="test the standard library, without forkful")
    parser.add_argument("--all", action="store_true", help="run the deselected tests too")
    parser.add_argument("--here", action="store_true", help="in this process; for the runner's own use")
    parser.add_argument("--tally", metavar="FILE", help="append the counts to FILE; for the runner's own use")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="over module.Class.test, as in deselected.py")
    args = parser.parse_args()
    names = args.suite or ["futures", "asyncio"]
    if args.here:
        return run_suite(names[0], args)
    codes = [in_processes(name, args) for name in names]
    ran = [code for code in codes if code != NO_SUCH_SUITE]
    return next((code for code in ran if code), 0) if ran else NO_SUCH_SUITE


def in_processes(name: str, args: argparse.Namespace) -> int:
    """Runs a suite in one process, or in one for each of its modules, and prints the sum; the worst exit code."""
    suite = suites.SUITES[name]
    flags = [f"--{f}" for f in ("reference", "all", "verbose") if getattr(args, f)]
    parts = [args.patterns]
    if suite.apart and not args.patterns:
        parts = [[part] for part in suite.parts()] or [[]]
    with tempfile.NamedTemporaryFile("r", prefix="cpython-suite-") as tally:
        common = [__file__, "--here", "--suite", name, "--tally", tally.name, *flags]
        with ThreadPool(2 if suite.beside else 1) as pool:
            codes = pool.map(lambda part: in_a_process([*common, *part], quiet=suite.beside), parts, chunksize=1)
        counts = [[int(number) for number in line.split()] for line in tally]
    if counts:
        passed, failed, skipped = map(sum, zip(*counts, strict=True))
        print(f"{name}: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    for code in codes:
        if code not in (0, 1, NO_SUCH_SUITE):
            print(f"{name}: a process ended with exit code {code}, its tests are not in the counts", flush=True)
    return next((code for code in codes if code), 0)


def in_a_process(arguments: list[str], quiet: bool = False) -> int:
    """A suite's exit code. asyncio's leave event loop policies and patched modules behind, so each has its process.

    Each has its session, too: if the watchdog ends it, its fork servers would live on and hold our output open. With
    `quiet` it says what it has to say when it has ended, as it is not alone.
    """
    with tempfile.TemporaryFile() if quiet else contextlib.nullcontext() as said:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT if said else None,
            start_new_session=True,
        )
        try:
            return child.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if said is not None:
                said.seek(0)
                print(said.read().decode(errors="replace"), end="", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    # Only in the main process: children that spawn or fork from it import this file under another name.
    _support().use_resources = ["cpu", "walltime"]
    _support().verbose = 0
    raise SystemExit(main())
