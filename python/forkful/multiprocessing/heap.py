"""The standard library's multiprocessing.heap itself, under this name too."""

from __future__ import annotations

import multiprocessing.heap as _itself
import sys
from multiprocessing.heap import *  # noqa: F403

sys.modules[__name__] = _itself
