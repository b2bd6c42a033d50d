"""Tasks that wait for a file, so that they are done neither sooner nor later than a test needs, however slow the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventually import eventually


def behind(gate: Path, call: Callable[..., Any], *args: Any) -> Any:
    """Calls that as soon as the file is there."""
    assert eventually(gate.exists)
    return call(*args)
