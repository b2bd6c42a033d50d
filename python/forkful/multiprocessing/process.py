"""The standard library's multiprocessing.process itself, under this name too."""

from __future__ import annotations

import multiprocessing.process as _itself
import sys
from multiprocessing.process import *  # noqa: F403

sys.modules[__name__] = _itself
