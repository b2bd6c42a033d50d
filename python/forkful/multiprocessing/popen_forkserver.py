"""The standard library's multiprocessing.popen_forkserver itself, under this name too."""

from __future__ import annotations

import multiprocessing.popen_forkserver as _itself
import sys
from multiprocessing.popen_forkserver import *  # noqa: F403

sys.modules[__name__] = _itself
