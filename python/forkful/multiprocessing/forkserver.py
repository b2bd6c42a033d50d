"""The standard library's multiprocessing.forkserver itself, under this name too."""

from __future__ import annotations

import multiprocessing.forkserver as _itself
import sys
from multiprocessing.forkserver import *  # noqa: F403

sys.modules[__name__] = _itself
