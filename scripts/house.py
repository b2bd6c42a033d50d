"""Prepares the checkout's virtual environments, with the engine built into them, for one Python or for all.

    house.py main                                  .venv: the tools, and forkful editable, optimised
    house.py docs                                  the documentation's tools too
    house.py each [--profile P] [--only V,...] [--prefer V,...] [--oldest-newest | --newest | --older MODULE] -- ARG...
                                                   on every Python of the machine: python ARG... in its environment

Nothing is done twice: what an environment was made from is kept beside it as a digest of contents, so a second call
costs a moment, and a `git checkout` there and back nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pythons

ROOT = Path(__file__).resolve().parent.parent
MAIN = ROOT / ".venv"
OTHERS = ROOT / ".venvs"
REQUIREMENTS = ROOT / "requirements"

# What the compiled module is made from, and what more goes into a wheel. The crate for Rust programs is no part of either.
ENGINE = (
    "Cargo.toml",
    "Cargo.lock",
    "pyproject.toml",
    ".cargo/config.toml",
    "crates/forkful-core/Cargo.toml",
    "crates/forkful-core/src/**/*.rs",
    "crates/forkful-python/Cargo.toml",
    "crates/forkful-python/src/**/*.rs",
)
PACKAGE = (*ENGINE, "README.md", "LICENSE-*", "python/**/*.py", "python/**/*.pyi", "python/**/py.typed")


# A command's exit code for "this Python lacks what I need, as I have just said"; automake's number for it.
SKIPPED = 77


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("main", "docs", "each"))
    parser.add_argument("--profile", choices=("quick", "release"), default="quick")
    parser.add_argument("--only", help="versions, comma-separated, as 3.11.7 or 3.11", default="")
    parser.add_argument("--prefer", help="the same, but the main Python if none of them is here", default="")
    parser.add_argument("--oldest-newest", metavar="MODULE", help="only the oldest and newest Python that have MODULE")
    parser.add_argument("--newest", metavar="MODULE", help="only the newest Python that has MODULE")
    parser.add_argument("--older", metavar="MODULE", help="only the others that have MODULE, one of each version")
    # By hand: argparse takes the positionals that follow an option for unknown ones.
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args = parser.parse_args(sys.argv[1:end])
    args.command = sys.argv[end + 1 :]
    if (args.what == "each") != bool(args.command):
        parser.error("each, and each alone, wants a command behind --")
    started = time.monotonic()
    with only_one_of_us():
        home = prepare_main()
        if args.what == "docs":
            install(home, "docs.txt")
    if time.monotonic() - started > 5:
        say(f"the house is ready after {time.monotonic() - started:.0f} s")
    return each(args) if args.what == "each" else 0


def say(text: str) -> None:
    print(f"-- {text}", flush=True)


@contextmanager
def only_one_of_us() -> Iterator[None]:
    """Two `make` in one checkout take turns in preparing it; the kernel lets go for one that dies."""
    OTHERS.mkdir(exist_ok=True)
    with open(OTHERS / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command: str | Path, **env: str) -> None:
    """Runs a command of the preparation; its failure ends us with its exit code and no traceback of ours."""
    environ = {**os.environ, **env}
    environ.pop("CONDA_PREFIX", None)  # maturin refuses to choose between it and VIRTUAL_ENV
    done = subprocess.run([str(c) for c in command], cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"forkful: failed with exit code {done.returncode}: {' '.join(map(str, command))}")


def digest(patterns: tuple[str, ...], *more: str) -> str:
    """A digest of names and contents; times and the order of the file system do not enter it."""
    total = hashlib.sha256(repr(more).encode())
    for path in sorted({p for pattern in patterns for p in ROOT.glob(pattern) if p.is_file()}):
        total.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def stamped(venv: Path, name: str, want: str) -> bool:
    try:
        return (venv / f"{name}.stamp").read_text() == want
    except FileNotFoundError:
        return False


def stamp(venv: Path, name: str, want: str) -> None:
    (venv / f"{name}.stamp").write_text(want)


def create(venv: Path, exe: str) -> None:
    """An empty environment of this very interpreter; a half-made one, or one of a Python since upgraded, goes."""
    want = f"{exe} {os.stat(exe).st_mtime_ns}"
    if stamped(venv, "made", want):
        return
    shutil.rmtree(venv, ignore_errors=True)
    say(f"making {venv.relative_to(ROOT)} of {exe}")
    run(exe, "-m", "venv", venv)
    stamp(venv, "made", want)


def install(venv: Path, lock: str) -> None:
    """What a lock file names, checked against its hashes; pip, because the user's pip settings then count."""
    want = digest((f"requirements/{lock}",))
    if stamped(venv, lock, want):
        return
    say(f"installing requirements/{lock} into {venv.relative_to(ROOT)}")
    pip = (venv / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--require-hashes", "--only-binary", ":all:", "-r", REQUIREMENTS / lock)
    stamp(venv, lock, want)


def target_dir(soabi: str) -> str:
    """One per ABI: PyO3 is compiled for an interpreter, and a shared one would be rebuilt at each change of it."""
    return str(ROOT / "target" / soabi)


def prepare_main() -> Path:
    """The main Python's environment, with forkful editable in it, so that an edit of a .py file needs no make."""
    create(MAIN, sys.executable)
    install(MAIN, "dev.txt")
    soabi = _soabi()
    module = ROOT / "python" / "forkful" / f"_engine.{soabi}.so"
    built = f"{module.stat().st_mtime_ns}" if module.exists() else "nothing"
    want = digest(ENGINE)
    if not stamped(MAIN, "engine", f"{want} {built}"):
        say("building the engine, optimised, into .venv")
        maturin = (
            MAIN / "bin/maturin",
            "develop",
            "--quiet",
            "--locked",
            "--release",
            "--target-dir",
            target_dir(soabi),
        )
        run(*maturin, VIRTUAL_ENV=str(MAIN))
        stamp(MAIN, "engine", f"{want} {module.stat().st_mtime_ns}")
    return MAIN


def _soabi() -> str:
    import sysconfig

    return str(sysconfig.get_config_var("SOABI"))


def prepare_other(python: pythons.Python, profile: str) -> Path:
    """Another Python's environment, with forkful as a wheel in it: what a user would get."""
    venv = OTHERS / f"{python.version}-{hashlib.sha256(python.exe.encode()).hexdigest()[:6]}"
    create(venv, python.exe)
    install(venv, "test.txt")
    # The main Python's optimised engine is built anyway; who shares its ABI shares it.
    if python.soabi == _soabi():
        profile = "release"
    quick, release = (digest(PACKAGE, name) for name in ("quick", "release"))
    if stamped(venv, "engine", release) or (profile == "quick" and stamped(venv, "engine", quick)):
        return venv
    say(f"building the wheel for {python} ({profile})")
    wheels = OTHERS / f"wheel-{python.soabi}"
    shutil.rmtree(wheels, ignore_errors=True)
    interpreter = MAIN / "bin/python" if python.soabi == _soabi() else venv / "bin/python"
    run(
        *(MAIN / "bin/maturin", "build", "--quiet", "--locked", "--profile", profile, "--interpreter", interpreter),
        *("--target-dir", target_dir(python.soabi), "--auditwheel", "skip", "--out", wheels),
    )
    (wheel,) = wheels.glob("*.whl")
    pip = (venv / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--no-index", "--no-deps", "--force-reinstall", wheel)
    stamp(venv, "engine", digest(PACKAGE, profile))
    return venv


def chosen(args: argparse.Namespace) -> list[pythons.Python]:
    """The Pythons to run on; each one left out is named with the reason."""
    everyone = pythons.find(sys.executable)
    versions = [v for v in (args.only or args.prefer).split(",") if v]
    meant = [p for p in everyone if not versions or any(f"{p.version}.".startswith(f"{v}.") for v in versions)]
    if args.prefer and not meant:
        say(f"SKIPPED: {args.prefer}: not on this machine; {everyone[0]} is taken")
        meant = everyone[:1]
    found = []
    for python in meant:
        if python.skip:
            say(f"SKIPPED: {python}: {python.skip}")
        else:
            found.append(python)
    if module := args.oldest_newest or args.newest or args.older:
        have = []
        for python in found:
            probe = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
            if subprocess.run([python.exe, "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                have.append(python)
            else:
                say(f"SKIPPED: {python}: it was installed without {module}")
        have.sort(key=lambda p: [int(n) for n in p.version.rstrip("abcdefghijklmnopqrstuvwxyz").split(".")])
        found = have[-1:]
        if args.older:
            # One of each version, as patches of it differ by little: the main Python, which has matplotlib, or the oldest.
            first: dict[str, pythons.Python] = {}
            for python in have[:-1]:
                if python.exe == os.path.realpath(sys.executable):
                    first[python.version.rpartition(".")[0]] = python
                first.setdefault(python.version.rpartition(".")[0], python)
            found = list(first.values())
        elif args.oldest_newest and len(have) > 1:
            found.insert(0, have[0])
    return found


def each(args: argparse.Namespace) -> int:
    """Runs the command on each Python, to the end even after a failure, and tells the outcome of all in one table."""
    table: list[tuple[str, str, float]] = []
    for python in chosen(args):
        with only_one_of_us():
            # The main Python runs from .venv, editable.
            venv = MAIN if python.exe == os.path.realpath(sys.executable) else prepare_other(python, args.profile)
        say(f"{python}: {' '.join(args.command)}")
        started = time.monotonic()
        code = subprocess.run(
            [venv / "bin/python", *args.command], cwd=ROOT, stdin=subprocess.DEVNULL, check=False
        ).returncode
        outcome = {0: "passed", SKIPPED: "SKIPPED"}.get(code, f"FAILED (exit code {code})")
        table.append((str(python), outcome, time.monotonic() - started))
    print()
    for name, outcome, seconds in table:
        say(f"{outcome}: {name}, {seconds:.0f} s")
    if not any(outcome == "passed" for _, outcome, _ in table):
        say("FAILED: it passed on no Python at all")
        return 1
    return int(any(outcome.startswith("FAILED") for _, outcome, _ in table))


if __name__ == "__main__":
    raise SystemExit(main())
