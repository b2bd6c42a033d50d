"""The script that runs these tests: what it takes for unsteady, and what for wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "run_tests.py"

TESTS = """
import os, pathlib, time, pytest

COUNT = pathlib.Path(__file__).with_name("count")


def test_steady():
    pass


def test_unsteady():
    with COUNT.open("a") as file:
        file.write("x")
    assert len(COUNT.read_text()) > FAILS


@pytest.mark.parametrize("n", range(WRONG))
def test_wrong(n):
    assert False


if SKIPS:

    @pytest.mark.skipif(COUNT.exists(), reason="it is there to fail at first, and to be skipped when it is run again")
    def test_skipped_later():
        assert False


if HANGS:

    @pytest.mark.timeout(2)
    def test_hanging():
        if len(COUNT.read_text() if COUNT.exists() else "") < 2:
            time.sleep(60)


if CRASHES:

    def test_crashing():
        with COUNT.with_name("crashes").open("a") as file:
            file.write("x")
        if len(COUNT.with_name("crashes").read_text()) == 1:
            os._exit(3)
"""


def run(
    folder: Path,
    *args: str,
    unsteady: int = 0,
    wrong: int = 0,
    skips: bool = False,
    hangs: bool = False,
    crashes: bool = False,
) -> tuple[int, str]:
    """The exit code and the output of a run over tests of which so many fail, or fail at first."""
    head = f"FAILS, WRONG, SKIPS, HANGS, CRASHES = {unsteady}, {wrong}, {skips}, {hangs}, {crashes}\n"
    (folder / "test_it.py").write_text(head + TESTS)
    (folder / "pytest.ini").write_text("[pytest]\ntimeout_method = thread\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *args],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("args", [("-n", "2"), ()], ids=["many", "one"])
def test_one_that_passes_alone_is_named(tmp_path: Path, args: tuple[str, ...]) -> None:
    code, output = run(tmp_path, *args, unsteady=1)
    assert code == 0, output
    assert (
        "UNSTEADY, failed among the others and passed 3 times alone; to be mended: test_it.py::test_unsteady" in output
    )


def test_when_nothing_fails_nothing_is_run_again(tmp_path: Path) -> None:
    code, output = run(tmp_path, "-n", "2")
    assert code == 0 and "alone" not in output, output
    assert (tmp_path / "count").read_text() == "x"


def test_one_that_fails_once_more_is_wrong(tmp_path: Path) -> None:
    code, output = run(tmp_path, "-n", "2", unsteady=2)
    assert code == 1 and "UNSTEADY" not in output, output
    code, output = run(tmp_path, "-n", "2", wrong=1)
    assert code == 1 and "UNSTEADY" not in output, output


def test_one_that_is_skipped_then_has_not_passed(tmp_path: Path) -> None:
    code, output = run(tmp_path, "-n", "2", skips=True)
    assert code == 1 and "once more" in output and "UNSTEADY" not in output, output


@pytest.mark.parametrize("args", [("-n", "2", "-x"), ("-x",), ("--maxfail=1",)], ids=" ".join)
def test_where_not_all_have_run_there_is_no_second_look(tmp_path: Path, args: tuple[str, ...]) -> None:
    code, output = run(tmp_path, *args, unsteady=1)
    assert code != 0 and "once more" not in output, output


def test_more_than_three_get_no_second_look(tmp_path: Path) -> None:
    code, output = run(tmp_path, "-n", "2", unsteady=1, wrong=3)
    assert code == 1 and "once more" not in output, output


@pytest.mark.parametrize("way", ["hangs", "crashes"])
@pytest.mark.parametrize("args", [("-n", "2"), ()], ids=["many", "one"])
def test_what_hangs_or_ends_its_process_gets_no_second_look(tmp_path: Path, way: str, args: tuple[str, ...]) -> None:
    code, output = run(tmp_path, *args, hangs=way == "hangs", crashes=way == "crashes")
    assert code != 0 and "once more" not in output, output
