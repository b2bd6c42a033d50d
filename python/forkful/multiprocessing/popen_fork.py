"""The standard library's multiprocessing.popen_fork itself, under this name too."""

from __future__ import annotations

import multiprocessing.popen_fork as _itself
import sys
from multiprocessing.popen_fork import *  # noqa: F403

sys.modules[__name__] = _itself
