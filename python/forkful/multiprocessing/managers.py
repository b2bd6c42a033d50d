"""The standard library's multiprocessing.managers itself, under this name too."""

from __future__ import annotations

import multiprocessing.managers as _itself
import sys
from multiprocessing.managers import *  # noqa: F403

sys.modules[__name__] = _itself
