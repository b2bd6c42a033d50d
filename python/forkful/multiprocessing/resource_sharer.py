"""The standard library's multiprocessing.resource_sharer itself, under this name too."""

from __future__ import annotations

import multiprocessing.resource_sharer as _itself
import sys
from multiprocessing.resource_sharer import *  # noqa: F403

sys.modules[__name__] = _itself
