"""What the cgroups of this process allow, version 1 and 2: of each limit the strictest on the way to the root.

Knows: the files below /sys/fs/cgroup. Does not know: what the numbers are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T", int, float)

# Version 1 says "no limit" by a number near 2**63.
_ENDLESS = 1 << 60


@dataclass(frozen=True)
class Allowed:
    """Limits; None where there is none."""

    versions: str | None
    """`v1`, `v2`, or `v1 and v2`; None where there are no cgroups to be seen."""
    cpus: float | None
    memory: int | None
    memory_used: int | None
    """In the group whose limit that is."""
    tasks: int | None
    tasks_now: int | None


def allowed(root: Path, membership: str) -> Allowed:
    """membership: the text of /proc/self/cgroup; root: where cgroups are mounted."""
    cpus: list[float] = []
    # Each with what is used of it in that group.
    memory: list[tuple[int, int | None]] = []
    tasks: list[tuple[int, int | None]] = []
    versions = set()
    for line in membership.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        if not controllers:
            mounts = [root] if (root / "cgroup.controllers").exists() else []
        else:
            mounts = [root / name for name in {controllers, *controllers.split(",")} if (root / name).is_dir()]
        for group in (group for mount in mounts for group in _upwards(mount, path)):
            versions.add("v1" if controllers else "v2")
            cpus += _some(_quota(group))
            for name, use in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
                memory += [(limit, _used(group, use)) for limit in _some(_number(group / name))]
            tasks += [(limit, _number(group / "pids.current")) for limit in _some(_number(group / "pids.max"))]
    nothing: tuple[int | None, int | None] = (None, None)
    # Of equal limits the innermost group's: its use is this process's.
    least, used = min(memory, key=lambda pair: pair[0]) if memory else nothing
    most, now = min(tasks, key=lambda pair: pair[0]) if tasks else nothing
    return Allowed(" and ".join(sorted(versions)) or None, min(cpus, default=None), least, used, most, now)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    group = mount / path.lstrip("/")
    while group.is_relative_to(mount):
        # Inside a container the path often starts at the mount, and the group is not where it says.
        if group.is_dir():
            yield group
        group = group.parent


def _quota(group: Path) -> float | None:
    words = _words(group / "cpu.max")
    if not words:
        words = [*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
        return int(words[0]) / int(words[1])
    return None  # "max", or -1


def _used(group: Path, name: str) -> int | None:
    """Without the files' copies that the kernel would give up first: a container that has read a lot is not full."""
    used = _number(group / name)
    if used is None:
        return None
    words = _words(group / "memory.stat")
    kept = dict(zip(words[::2], words[1::2], strict=False))
    # Version 1 counts the group alone under the second name.
    given_up = kept.get("total_inactive_file", kept.get("inactive_file", "0"))
    return max(0, used - int(given_up)) if given_up.isdigit() else used


def _number(file: Path) -> int | None:
    words = _words(file)
    return int(words[0]) if words and words[0].isdigit() and int(words[0]) < _ENDLESS else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _some(value: _T | None) -> list[_T]:
    return [] if value is None else [value]
