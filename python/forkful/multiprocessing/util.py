"""The standard library's multiprocessing.util itself, under this name too."""

from __future__ import annotations

import multiprocessing.util as _itself
import sys
from multiprocessing.util import *  # noqa: F403

sys.modules[__name__] = _itself
