"""Runs every Python code block of README and docs, each page in one namespace from top to bottom."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)]

# A page runs in a process of its own: what it installs, starts or leaves behind meets no other page, and its
# functions live in a __main__, as a reader's would.
RUN_PAGE = "import sys; sys.argv[0] = ''; import test_code_blocks as t; t.run_page(sys.argv[1])"


def examples(page: Path) -> list[object]:
    """The page's blocks; `<!-- skip: next, "reason" -->` above one leaves it out, and says why."""
    sybil = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()], path=str(page.parent), patterns=[page.name])
    return list(sybil.parse(page).examples())


def run_page(path: str) -> None:
    """The child's part: a block that raises ends it with sybil's report of page and line."""
    import __main__

    sybil = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()], path=str(Path(path).parent))
    document = sybil.parse(Path(path))
    document.namespace = vars(__main__)
    for example in document.examples():
        try:
            example.evaluate()
        except Exception as error:
            if type(error).__name__ != "SkipTest":
                raise
            print(f"SKIPPED: {path}:{example.line}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path, tmp_path: Path) -> None:
    if not examples(page):
        pytest.skip("has no Python code block")
    # Where a page writes files, it does so beside nothing of ours.
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    done = subprocess.run(
        [sys.executable, "-c", RUN_PAGE, str(page)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent), **_environment()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
