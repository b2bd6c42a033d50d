"""The standard library's multiprocessing.queues itself, under this name too."""

from __future__ import annotations

import multiprocessing.queues as _itself
import sys
from multiprocessing.queues import *  # noqa: F403

sys.modules[__name__] = _itself
