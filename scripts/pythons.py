"""Finds every CPython from 3.10 on this machine, each one once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 10)

# Run in the candidate. A virtual environment answers for the Python it was made from.
PROBE = """
import json, os, sys, sysconfig
exe = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
try:
    import ensurepip, venv
    lacks = ""
except ImportError as error:
    lacks = "no " + error.name
print(json.dumps({
    "exe": exe, "version": list(sys.version_info[:3]), "level": sys.version_info.releaselevel,
    "implementation": sys.implementation.name, "flags": getattr(sys, "abiflags", ""),
    "soabi": sysconfig.get_config_var("SOABI"), "lacks": lacks,
}))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter; `soabi` says which compiled modules it can load, `skip` why it is left alone."""

    exe: str
    version: str
    soabi: str
    skip: str = ""

    def __str__(self) -> str:
        return f"CPython {self.version} ({self.exe})"


def _candidates(first: str) -> list[str]:
    """Paths worth asking, the main Python first; most name the same few interpreters."""
    # Not the shims of pyenv and its like: they start slowly, and the versions behind them are looked up below.
    places = [Path(p) for p in os.environ.get("PATH", "").split(os.pathsep) if p and Path(p).name != "shims"]
    places += [Path("/usr/bin"), Path("/usr/local/bin")]
    home = Path.home()
    for versions in (
        Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions",
        home / ".local/share/uv/python",
    ):
        places += sorted(versions.glob("*/bin"))
    found = [first]
    for place in places:
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue
        found += [str(place / name) for name in names if re.fullmatch(r"python3(\.\d+t?)?", name)]
    return found


def _ask(path: str) -> Python | None:
    """What the interpreter says of itself; None if there is nobody, or nobody that we could mean."""
    if shutil.which(path) is None:
        return None
    try:
        answer = subprocess.run(
            [path, "-I", "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        told = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # a pyenv shim of a version that is not chosen here, a Python 2, a broken installation
    if tuple(told["version"][:2]) < OLDEST:
        return None
    skip = ""
    if told["implementation"] != "cpython":
        skip = f"it is {told['implementation']}, and the engine is built for CPython"
    elif told["level"] != "final":
        skip = "it is a pre-release"
    elif told["lacks"]:
        skip = f"it has {told['lacks']} module, so that no virtual environment can be made (Debian: python3-venv)"
    version = ".".join(map(str, told["version"])) + told["flags"]
    return Python(told["exe"], version, told["soabi"] or "", skip)


def find(first: str = sys.executable) -> list[Python]:
    """All of them, `first` in front and then from old to new; two builds of one version count as two."""
    found: dict[str, Python] = {}
    # /bin is often /usr/bin, pyenv has three names for each interpreter, and a venv's is a link to its origin's.
    for path in dict.fromkeys(os.path.realpath(path) for path in _candidates(first)):
        python = _ask(path)
        if python is not None:
            found.setdefault(python.exe, python)
    main, *others = found.values()
    return [main, *sorted(others, key=lambda p: [int(n) for n in re.findall(r"\d+", p.version)])]


if __name__ == "__main__":
    for python in find():
        print(f"{python}" + (f": SKIPPED, {python.skip}" if python.skip else ""))
