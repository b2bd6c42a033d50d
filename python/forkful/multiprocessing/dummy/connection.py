"""The standard library's multiprocessing.dummy.connection itself, under this name too."""

from __future__ import annotations

import multiprocessing.dummy.connection as _itself
import sys
from multiprocessing.dummy.connection import *  # noqa: F403

sys.modules[__name__] = _itself
