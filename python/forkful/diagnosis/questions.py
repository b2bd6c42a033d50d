"""Asks the interpreter and the kernel for the facts, and changes nothing.

Knows: where each is written. Does not know: whether it is good.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from forkful import _blas
from forkful._version import __version__
from forkful.diagnosis import groups
from forkful.diagnosis.facts import Bound, Facts

NEEDED = ("click", "rich", "cloudpickle", "threadpoolctl")
OPTIONAL = ("numpy", "matplotlib", "tqdm")


def ask() -> Facts:
    """Everything but the trials."""
    error, engine = _engine()
    allowed = groups.allowed(Path("/sys/fs/cgroup"), _text("/proc/self/cgroup"))
    memory = dict(line.split(":", 1) for line in _text("/proc/meminfo").splitlines() if ":" in line)
    shm_size, shm_free = _room("/dev/shm")
    return Facts(
        forkful=__version__,
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        engine_error=error,
        optimised=getattr(engine, "optimised", None),
        gil=bool(getattr(sys, "_is_gil_enabled", lambda: True)()),
        system=platform.system(),
        kernel=platform.release(),
        machine=platform.machine(),
        libc=" ".join(platform.libc_ver()).strip() or "unknown",
        container=_container(),
        cpus_machine=os.cpu_count() or 1,
        cpus_allowed=len(os.sched_getaffinity(0)),
        cpus_quota=allowed.cpus,
        cpus_planned=engine.usable_cpus() if engine else None,
        cgroup=allowed.versions,
        memory_total=_kilobytes(memory.get("MemTotal")),
        memory_available=_kilobytes(memory.get("MemAvailable")),
        memory_limit=allowed.memory,
        memory_used=allowed.memory_used,
        shm_size=shm_size,
        shm_free=shm_free,
        descriptors=_bound(resource.RLIMIT_NOFILE),
        descriptors_open=_open_descriptors(),
        processes=_bound(resource.RLIMIT_NPROC),
        tasks_limit=allowed.tasks,
        tasks_now=allowed.tasks_now,
        address_space=_bound(resource.RLIMIT_AS),
        file_size=_bound(resource.RLIMIT_FSIZE),
        parent_death_signal=_parent_death_signal(),
        ptrace_scope=_number("/proc/sys/kernel/yama/ptrace_scope"),
        start_methods=tuple(multiprocessing.get_all_start_methods()),
        start_default=multiprocessing.get_context().get_start_method(),
        packages={name: _version(name) for name in (*NEEDED, *OPTIONAL)},
        blas=_libraries(),
        variables={
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("FORKFUL_") or name in _blas.VARIABLES
        },
        folder=_folder(),
    )


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _engine() -> tuple[str | None, Any]:
    try:
        return None, import_module("forkful._engine")
    except ImportError as error:
        return str(error), None


def _libraries() -> dict[str, int]:
    """The libraries that numpy brings along, with their threads."""
    try:
        import_module("numpy")
    except Exception:
        return {}  # not there, or out of order in any way: of which its own words are to tell
    found = _blas.look()
    return {library.internal_api: library.num_threads for library in found.lib_controllers} if found else {}


def _container() -> str | None:
    for file in ("/.dockerenv", "/run/.containerenv"):
        if os.path.exists(file):
            return file
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "KUBERNETES_SERVICE_HOST"
    # systemd's convention, which podman, LXC and nspawn keep.
    said = os.environ.get("container")  # noqa: SIM112
    return f"container={said}" if said else None


def _parent_death_signal() -> bool | None:
    """Whether the kernel knows the setting, by reading ours."""
    try:
        import ctypes
    except ImportError:
        return None
    value = ctypes.c_int()
    return bool(ctypes.CDLL(None, use_errno=True).prctl(2, ctypes.byref(value), 0, 0, 0) == 0)  # PR_GET_PDEATHSIG


def _open_descriptors() -> int | None:
    try:
        # One of them is the listing's own.
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return None


def _bound(which: int) -> Bound:
    ends: Callable[[int], int | None] = lambda value: None if value == resource.RLIM_INFINITY else value  # noqa: E731
    soft, hard = resource.getrlimit(which)
    return ends(soft), ends(hard)


def _room(path: str) -> tuple[int | None, int | None]:
    try:
        found = os.statvfs(path)
    except OSError:
        return None, None
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _kilobytes(words: str | None) -> int | None:
    return int(words.split()[0]) * 1024 if words else None


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
