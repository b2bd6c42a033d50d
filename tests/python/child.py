"""Runs a script in a child interpreter under a watchdog."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 60


@dataclass(frozen=True)
class Outcome:
    """What a child left behind."""

    stdout: str
    stderr: str
    returncode: int

    def __str__(self) -> str:
        return f"exit code {self.returncode}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Child:
    """A running script; `with` ends it and everything it has forked."""

    def __init__(self, text: str, *args: str, warnings: str = "error", seconds: float = SECONDS) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forkful-test-")
        script = Path(self._folder.name) / "script.py"
        script.write_text(textwrap.dedent(text).lstrip("\n"))
        path = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._seconds = seconds
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-W", warnings, str(script), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"},
            # Its own group: a forked grandchild that hangs holds the pipes, and goes with it.
            start_new_session=True,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self._folder.cleanup()

    def _kill(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def await_line(self, expected: str) -> None:
        """Reads the child's output up to the line `expected`."""
        self.await_lines(expected)

    def await_lines(self, *expected: str) -> None:
        """Reads the child's output until it has said all of these, in whatever order."""
        missing = set(expected)
        while line := self.read_line():
            missing.discard(line.strip())
            if not missing:
                return
        raise AssertionError(f"the child never said {missing}\n{self.outcome()}")

    def await_error(self, expected: str) -> str:
        """Reads what the child says of errors up to the line `expected`; it is not in the outcome then."""
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if line.strip() == expected:
                return "".join(lines)
        raise AssertionError(f"the child never said {expected!r}\n{''.join(lines)}{self.outcome()}")

    def read_line(self) -> str:
        """The next line of the child's output, empty at its end."""
        assert self.process.stdout is not None
        line = b""
        # Byte by byte: what a buffer has read ahead would be missing in the outcome.
        while not line.endswith(b"\n") and (byte := os.read(self.process.stdout.fileno(), 1)):
            line += byte
        return line.decode()

    def outcome(self) -> Outcome:
        """Waits for the end; a child that is stuck is made to show its stacks, then killed."""
        try:
            out, err = self.process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            # faulthandler answers with the stacks of every thread, in what the child has forked as well. A timer inside
            # the child would not do: faulthandler's is a thread, which a forked process waits for in vain.
            self._kill(signal.SIGABRT)
            try:
                out, err = self.process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                self._kill(signal.SIGKILL)
                out, err = self.process.communicate()
            raise AssertionError(f"the child hung\n--- stdout\n{out}\n--- stderr\n{err}") from None
        return Outcome(out, err, self.process.returncode)


def run_script(text: str, *args: str, warnings: str = "error", seconds: float = SECONDS) -> Outcome:
    """Runs `text` as a script file, with this interpreter, and waits for its end."""
    with Child(text, *args, warnings=warnings, seconds=seconds) as child:
        return child.outcome()


def run_clean(text: str, *args: str, warnings: str = "error", seconds: float = SECONDS) -> str:
    """Runs a script that must end with 0 and say nothing on stderr; returns its output."""
    outcome = run_script(text, *args, warnings=warnings, seconds=seconds)
    assert outcome.returncode == 0, str(outcome)
    assert outcome.stderr == "", str(outcome)
    return outcome.stdout
