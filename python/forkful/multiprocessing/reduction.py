"""The standard library's multiprocessing.reduction itself, under this name too."""

from __future__ import annotations

import multiprocessing.reduction as _itself
import sys
from multiprocessing.reduction import *  # noqa: F403

sys.modules[__name__] = _itself
