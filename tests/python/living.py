"""Whether a process is still doing something."""

from __future__ import annotations

from pathlib import Path


def alive(pid: int) -> bool:
    """Not so for one that has ended and that nobody has waited for: who adopts orphans may take his time."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
