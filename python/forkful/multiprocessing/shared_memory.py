"""The standard library's multiprocessing.shared_memory itself, under this name too."""

from __future__ import annotations

import multiprocessing.shared_memory as _itself
import sys
from multiprocessing.shared_memory import *  # noqa: F403

sys.modules[__name__] = _itself
