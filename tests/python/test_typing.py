"""The types of the package, as mypy --strict sees them from outside."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed here")

SAMPLES = sorted((Path(__file__).parent / "typing_samples").glob("*.py"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_passes_the_strict_checker(sample: Path, tmp_path: Path) -> None:
    # From a folder of nobody's, so that the installed package with its py.typed is what is read.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--no-error-summary", "--config-file=",
         f"--cache-dir={tmp_path / 'cache'}", str(sample)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
