"""Runs pytest, and what failed once more by itself: so a test that is wrong is told from one that is unsteady.

    run_tests.py ARG...      pytest's arguments

Many tests at a time compete for the processors, with each other and with whatever else the machine does. A test that fails among
them, and then passes three times in a row alone, is unsteady: it is named at the end, as something to be mended, and holds up no
change that has nothing to do with it. Where a test hangs, or takes its process down, there is no second look, nor where more than
three fail: such things are never the crowd's fault.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ALONE = "--alone"
"""What this script calls itself with."""
LOOKS = 3
MOST = 3


class Failures:
    """A plugin that remembers which tests have failed, in this process or in one of pytest-xdist's."""

    def __init__(self) -> None:
        self.tests: dict[str, None] = {}
        self.is_grave = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tests[report.nodeid] = None
            # pytest-xdist reports so what was running in a process that has ended, by a crash or by the watchdog.
            self.is_grave |= report.when not in ("setup", "call", "teardown")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.is_grave |= report.failed

    def pytest_internalerror(self) -> None:
        self.is_grave = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, error: object) -> None:
        self.is_grave |= error is not None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # Not all have run, by -x for example.
        self.is_grave |= bool(session.shouldfail or session.shouldstop)


class Passes:
    """A plugin that remembers which tests have passed."""

    def __init__(self) -> None:
        self.tests: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.tests.add(report.nodeid)


def main(args: list[str]) -> int:
    if args[:1] == [ALONE]:
        passes = Passes()
        # Those that are named, whatever their marks; one that is skipped has not passed.
        code = pytest.main(["-q", "-m", "", *args[1:]], plugins=[passes])
        return int(code) or int(passes.tests != set(args[1:]))
    failures = Failures()
    code = pytest.main(args, plugins=[failures])
    if code != pytest.ExitCode.TESTS_FAILED or failures.is_grave or not 0 < len(failures.tests) <= MOST:
        return int(code)
    unsteady = list(failures.tests)
    for look in range(1, LOOKS + 1):
        say(f"once more, alone ({look} of {LOOKS}): {' '.join(unsteady)}")
        alone = [sys.executable, __file__, ALONE, *unsteady]
        if subprocess.run(alone, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            return int(code)
    for test in unsteady:
        say(f"UNSTEADY, failed among the others and passed {LOOKS} times alone; to be mended: {test}")
    return 0


def say(text: str) -> None:
    print(f"-- {text}", flush=True)


if __name__ == "__main__":
    # As with `python -m pytest`.
    sys.path[0] = os.getcwd()
    raise SystemExit(main(sys.argv[1:]))
