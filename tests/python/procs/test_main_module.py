"""What tasks can use of the main module, for every way to start a program and its workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import checks  # noqa: E402
import kernel  # noqa: E402

FORMS = ("guarded", "unguarded", "module", "package", "command", "stdin", "prompt", "notebook")


def arguments(form: str, folder: Path) -> tuple[list[str], str | None]:
    """How a form is started, and what it reads from stdin."""
    if form in ("guarded", "unguarded"):
        script = folder / "script.py"
        script.write_text(getattr(checks, form)())
        return [str(script)], None
    if form in ("module", "package"):
        package = folder / "pkg"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / ("mod.py" if form == "module" else "__main__.py")).write_text(checks.guarded())
        return ["-m", "pkg.mod" if form == "module" else "pkg"], None
    if form == "command":
        return ["-c", checks.unguarded()], None
    if form == "stdin":
        return ["-"], checks.unguarded()
    if form == "prompt":
        # An empty line ends what has a body; none may stand inside.
        return ["-q", "-i", "-"], "\n\n".join(checks.blocks()) + "\n"
    cells = folder / "cells"
    cells.write_text(kernel.BETWEEN.join(checks.blocks()))
    return [str(HERE / "kernel.py"), str(cells)], None


@pytest.mark.parametrize("method", ["fork", "zygote", "spawn"])
@pytest.mark.parametrize("form", FORMS)
def test_main_module(form: str, method: str, tmp_path: Path) -> None:
    args, text = arguments(form, tmp_path)
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *args, method],
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
    )
    lines = done.stdout.splitlines()
    told = f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert not [line for line in lines if line.startswith("WRONG")], told
    assert sum(line.startswith("right") for line in lines) == checks.NAMES, told
    assert lines[-1] == "end", told
    imported = form in ("guarded", "module")
    mode = "inherited" if method == "fork" else "imported" if imported else "by-value"
    assert f"mode {mode}" in lines, told
