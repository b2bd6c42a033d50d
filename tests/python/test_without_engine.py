"""Where the engine is not built, the package imports, says so once, and is the standard library."""

from __future__ import annotations

import shutil
from pathlib import Path

from child import run_script

import forkful


def test_the_names_are_the_standard_librarys(tmp_path):
    source = Path(forkful.__file__).parent
    shutil.copytree(source, tmp_path / "forkful", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    outcome = run_script(
        f"""
        import sys, warnings
        sys.path.insert(0, {str(tmp_path)!r})
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            import forkful, forkful.futures
        import concurrent.futures
        assert forkful.__file__.startswith({str(tmp_path)!r})
        assert len(said) == 1 and "engine" in str(said[0].message), said
        for name in ("Future", "Executor", "ThreadPoolExecutor", "wait", "as_completed", "CancelledError"):
            assert getattr(forkful, name) is getattr(concurrent.futures, name), name
        forkful.install()
        with forkful.ThreadPoolExecutor(1) as pool:
            print(pool.submit(pow, 2, 5).result())
        forkful.uninstall()
        """
    )
    assert (outcome.returncode, outcome.stdout) == (0, "32\n"), outcome
