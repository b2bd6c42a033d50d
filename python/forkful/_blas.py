"""How many threads BLAS and OpenMP libraries may use in a worker.

Libraries that are not loaded yet read it in the environment; those that are loaded are told through threadpoolctl. Looking for
them takes some milliseconds, so whoever forks workers looks once, and the workers inherit what it has found.

Does not know: workers, pools. A worker's start imports it, so it imports little.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["VARIABLES", "allowed", "is_loaded", "limit", "look"]

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)
_USERS = ("numpy", "scipy", "sklearn", "torch")

# What was found, and which users had been loaded then.
_found: tuple[tuple[bool, ...], Any] | None = None


def _loaded() -> tuple[bool, ...]:
    return tuple(name in sys.modules for name in _USERS)


def is_loaded() -> bool:
    """Whether a package is loaded that brings such libraries along."""
    return any(_loaded())


def look() -> Any:
    """threadpoolctl's controller of what is loaded now; None where threadpoolctl is not installed."""
    global _found
    loaded = _loaded()
    if _found is None or _found[0] != loaded:
        try:
            from threadpoolctl import ThreadpoolController  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError:
            return None
        _found = loaded, ThreadpoolController()
    return _found[1]


def allowed(threads: int, environment: dict[str, str] | os._Environ[str]) -> int:
    """At most so many, and no more than the user's own variables say."""
    named = (environment.get(name, "") for name in VARIABLES)
    return min([threads, *(int(value) for value in named if value.isdigit() and int(value) > 0)])


def limit(threads: int, warn: bool) -> None:
    """Limits the libraries that are loaded. `warn` says whether it matters that this can't be done."""
    controller = look()
    if controller is not None:
        for library in controller.lib_controllers:
            # Being told starts threads, which spin for a millisecond before they sleep.
            if library.num_threads != threads:
                library.set_num_threads(threads)
        return
    if warn:
        import warnings

        warnings.warn(
            "threads_per_worker can't limit libraries that are loaded already, as threadpoolctl is not installed: "
            "pip install threadpoolctl",
            RuntimeWarning,
            stacklevel=2,
        )
