"""The standard library's multiprocessing.synchronize itself, under this name too."""

from __future__ import annotations

import multiprocessing.synchronize as _itself
import sys
from multiprocessing.synchronize import *  # noqa: F403
from multiprocessing.synchronize import Barrier as Barrier

sys.modules[__name__] = _itself
