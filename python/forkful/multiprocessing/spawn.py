"""The standard library's multiprocessing.spawn itself, under this name too."""

from __future__ import annotations

import multiprocessing.spawn as _itself
import sys
from multiprocessing.spawn import *  # noqa: F403

sys.modules[__name__] = _itself
