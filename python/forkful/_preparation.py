"""Has the children of a process in which forkful is installed install it too, before they run the main module.

multiprocessing sends every child that does not inherit a pickled dict of preparations. Ours holds one thing more, whose
loading is the installation: neither the environment nor the command line need say anything.

Knows: multiprocessing's preparation. Does not know: what is installed.
"""

from __future__ import annotations

import os
from multiprocessing import spawn
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["get_preparation_data"]

_theirs = spawn.get_preparation_data
_HOME = str(Path(__file__).resolve().parent.parent)

# The path of the parent is not the child's yet. Another interpreter (`set_executable`), for which forkful was never
# installed, goes on with the standard library.
_CODE = """
import os, sys
if os.getpid() != {pid}:
    added = {home!r} not in sys.path
    if added:
        sys.path.append({home!r})
    try:
        from forkful._install import install
    except ImportError:
        pass
    else:
        install()
    finally:
        if added and {home!r} in sys.path:
            sys.path.remove({home!r})
"""


class _Installation:
    """Installs forkful where it is unpickled, unless that is this process."""

    def __reduce__(self) -> Any:
        return exec, (_CODE.format(pid=os.getpid(), home=_HOME), {})


def get_preparation_data(name: str) -> dict[str, Any]:
    """What a child needs to know of this process."""
    data: dict[str, Any] = _theirs(name)
    data["forkful"] = _Installation()
    return data
