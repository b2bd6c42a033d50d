"""What a Rust program gets from the registry: the three crates as they would be published, and a program with nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CRATES = ("forkful-core", "forkful-macros", "forkful")

# Everything is compiled afresh, on a busy machine for a minute.
pytestmark = pytest.mark.timeout(900)

MANIFEST = """
[package]
name = "stranger"
version = "0.0.0"
edition = "2024"

[dependencies]
forkful = "{version}"

[patch.crates-io]
{patches}
"""

PROGRAM = """
use forkful::{ProcessPoolExecutor, ThreadPoolExecutor};

#[forkful::task]
fn double(n: u64) -> u64 {
    2 * n
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    forkful::init();
    let threads = ThreadPoolExecutor::new(2);
    let processes = ProcessPoolExecutor::new(2)?;
    let sum: u64 = threads.map(double, 0..10).sum::<Result<u64, _>>()?;
    let same: u64 = processes.map(double, (0..10).map(|n| (n,))).sum::<Result<u64, _>>()?;
    println!("{sum} {same}");
    Ok(())
}
"""


def run(*command: str | Path, cwd: Path = ROOT, **env: str) -> str:
    """The command's output; its error output is in the failure."""
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def version() -> str:
    found = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def crates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The crates, packed and unpacked. cargo's own check would build them; here the program below does."""
    target = tmp_path_factory.mktemp("target")
    named = [word for name in CRATES for word in ("-p", name)]
    run("cargo", "package", "--locked", "--allow-dirty", "--no-verify", "--target-dir", target, *named)
    unpacked = tmp_path_factory.mktemp("crates")
    for name in CRATES:
        with tarfile.open(target / "package" / f"{name}-{version()}.crate") as archive:
            archive.extractall(unpacked, filter="data")
    return {name: unpacked / f"{name}-{version()}" for name in CRATES}


@pytest.mark.parametrize("name", CRATES)
def test_a_crate_has_what_it_needs_and_no_more(crates: dict[str, Path], name: str) -> None:
    home = crates[name]
    names = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert {"Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"} <= names
    own = {str(path.relative_to(ROOT / "crates" / name)) for path in (ROOT / "crates" / name / "src").rglob("*.rs")}
    assert own <= names
    known = ("src/", "examples/", "docs/")
    added = {"Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json"}
    wanted = {"Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE"}
    assert not [n for n in names if not n.startswith(known) and n not in added | wanted]
    assert "MIT License" in (home / "LICENSE-MIT").read_text()


def test_the_manifests_say_what_the_registry_shows(crates: dict[str, Path]) -> None:
    metadata = json.loads(run("cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"))
    packages = {package["name"]: package for package in metadata["packages"]}
    assert {name for name, package in packages.items() if package["publish"] is None} == set(CRATES)
    for name in CRATES:
        package = packages[name]
        assert package["license"] == "MIT OR Apache-2.0"
        assert package["description"] and package["repository"] and package["rust_version"]
        for dependency in package["dependencies"]:
            # The crates are one: each version of one goes with the same version of the others.
            if dependency["name"] in CRATES:
                assert dependency["req"] == f"={version()}", (name, dependency["name"])


def test_a_program_runs_on_them_alone(crates: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "stranger"
    (home / "src").mkdir(parents=True)
    patches = "\n".join(f"{name} = {{ path = {json.dumps(str(path))} }}" for name, path in crates.items())
    (home / "Cargo.toml").write_text(MANIFEST.format(version=version(), patches=patches))
    (home / "src/main.rs").write_text(PROGRAM)
    # The locked versions, which were tested; cargo drops those that the program does not need.
    shutil.copy(ROOT / "Cargo.lock", home)
    assert run("cargo", "run", "--quiet", cwd=home, CARGO_TARGET_DIR=str(tmp_path / "target")) == "90 90\n"
