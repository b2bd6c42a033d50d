"""Whether processes are still doing something."""

from __future__ import annotations

from pathlib import Path


def alive(pid: int) -> bool:
    """Not so for one that has ended and that nobody has waited for: who adopts orphans may take his time."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def members(group: int) -> list[int]:
    """Those of a process group that are alive; the kernel finds the others there, too, until somebody has waited for them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it is gone
        if state not in "ZX" and int(its_group) == group:
            found.append(int(stat.parent.name))
    return found
