"""The standard library's multiprocessing.connection itself, under this name too."""

from __future__ import annotations

import multiprocessing.connection as _itself
import sys
from multiprocessing.connection import *  # noqa: F403

sys.modules[__name__] = _itself
