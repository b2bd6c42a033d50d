"""What a user installs: the sdist, the wheel built from it, and a program in an environment that has nothing else."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A build from the sdist compiles the engine afresh, on a busy machine for minutes.
pytestmark = pytest.mark.timeout(1200)

PROGRAM = """
import importlib.metadata, sys
import forkful
from concurrent.futures import Future

assert "multiprocessing" not in sys.modules, "import forkful must stay light"
assert importlib.metadata.version("forkful") == forkful.__version__, forkful.__version__
with forkful.ThreadPoolExecutor(2) as pool:
    assert list(pool.map(abs, range(-9, 0))) == list(range(9, 0, -1))
    assert isinstance(pool.submit(int), Future)
print(forkful.__file__)
print(forkful._engine.__file__)
"""


DEPENDENCIES = ["click", "cloudpickle", "rich", "threadpoolctl"]
# What rich needs in its turn.
OF_DEPENDENCIES = ["markdown-it-py", "mdurl", "pygments"]


def run(*command: str | Path, cwd: Path = ROOT, **env: str) -> str:
    """The command's output; its error output is in the failure."""
    # No PYTHONPATH and no active environment of the caller's may help the build or the program.
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX")}
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env={**inherited, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    run(Path(sys.executable).parent / "maturin", "sdist", "--out", out)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist by pip, as where no wheel fits; with the locked maturin, so nothing is downloaded."""
    out = tmp_path_factory.mktemp("wheel")
    # A target directory of its own, new each time: files unpacked from an sdist are dated years back, so cargo would
    # take whatever an earlier build left for up to date.
    target = tmp_path_factory.mktemp("target")
    pip = (
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
    )
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run(
        *pip,
        "--wheel-dir",
        out,
        sdist,
        PATH=tools,
        CARGO_TARGET_DIR=str(target),
        MATURIN_PEP517_ARGS="--profile quick --auditwheel skip",
    )
    (made,) = out.iterdir()
    return made


def version() -> str:
    found = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_sdist_has_what_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        "Cargo.toml",
        "Cargo.lock",
        "PKG-INFO",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "pyproject.toml",
        "crates/forkful-core/src/lib.rs",
        "crates/forkful-python/src/lib.rs",
        "python/forkful/__init__.py",
        "python/forkful/_engine.pyi",
        "python/forkful/py.typed",
    }
    assert needed <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_wheel_has_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = email.message_from_bytes(archive.read(f"forkful-{version()}.dist-info/METADATA"))
    assert {name.split("/")[0] for name in names} == {"forkful", f"forkful-{version()}.dist-info"}
    assert {"forkful/py.typed", "forkful/_engine.pyi"} <= set(names)
    compiled = [name for name in names if name.endswith(".so")]
    assert compiled == [f"forkful/_engine.{sysconfig.get_config_var('SOABI')}.so"]
    # A .py that the checkout has and the wheel lacks would be missed by users only.
    sources = {
        str(p.relative_to(ROOT / "python")) for p in (ROOT / "python/forkful").rglob("*.py*") if p.suffix != ".pyc"
    }
    assert sources <= set(names)
    assert metadata["License-Expression"] == "MIT OR Apache-2.0"
    assert sorted(metadata.get_all("License-File", [])) == ["LICENSE-APACHE", "LICENSE-MIT"]
    assert metadata["Requires-Python"] == ">=3.10"
    required = metadata.get_all("Requires-Dist", [])
    assert sorted(re.split(r"[^a-z]", line)[0] for line in required if "extra ==" not in line) == DEPENDENCIES


def test_runs_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "clean"
    venv.create(home, with_pip=True, symlinks=True)
    python = home / "bin/python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    # The wheel's dependencies, as locked; then nothing else may be wanted.
    lock = (ROOT / "requirements/test.txt").read_text()
    wanted = [*DEPENDENCIES, *OF_DEPENDENCIES]
    pinned = re.findall(rf"^(?:{'|'.join(wanted)})==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    assert {re.split("==", line)[0] for line in pinned} == set(wanted)
    (tmp_path / "needed.txt").write_text("".join(pinned))
    run(*pip, "--require-hashes", "-r", tmp_path / "needed.txt")
    run(*pip, "--no-index", wheel)
    run(python, "-m", "pip", "--disable-pip-version-check", "check")
    package, engine = run(python, "-I", "-c", PROGRAM, cwd=tmp_path).splitlines()
    assert Path(package).is_relative_to(home)
    assert Path(engine).is_relative_to(home)
    # And the way in that needs no change of the program.
    (tmp_path / "program.py").write_text("import concurrent.futures as c\nprint(c.ThreadPoolExecutor.__module__)\n")
    console_script = home / "bin/forkful"
    for command in ((python, "-m", "forkful"), (console_script,)):
        assert "forkful" in run(*command, "run", "program.py", cwd=tmp_path)
        assert run(*command, "--version", cwd=tmp_path) == f"forkful {version()}\n"
    assert "Examples:" in run(console_script, "--help", cwd=tmp_path)
    assert "no numpy" in run(console_script, "doctor", cwd=tmp_path)
    assert "submit().result()" in run(console_script, "bench", "--quick", "--only", "latency", cwd=tmp_path)
