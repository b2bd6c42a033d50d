"""The standard library's multiprocessing.pool itself, under this name too."""

from __future__ import annotations

import multiprocessing.pool as _itself
import sys
from multiprocessing.pool import *  # noqa: F403

sys.modules[__name__] = _itself
