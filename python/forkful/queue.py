"""The standard library's queue itself, under this name too."""

from __future__ import annotations

import queue as _itself
import sys
from queue import *  # noqa: F403

sys.modules[__name__] = _itself
