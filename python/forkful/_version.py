"""The version of the package, which is the engine's."""

from __future__ import annotations

__all__ = ["__version__"]

try:
    from ._engine import __version__
except ModuleNotFoundError:
    # Without an engine, what the installer knows.
    from importlib.metadata import PackageNotFoundError, version

    try:
        __version__ = version("forkful")
    except PackageNotFoundError:
        __version__ = "unknown"
