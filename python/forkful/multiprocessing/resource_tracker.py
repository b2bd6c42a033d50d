"""The standard library's multiprocessing.resource_tracker itself, under this name too."""

from __future__ import annotations

import multiprocessing.resource_tracker as _itself
import sys
from multiprocessing.resource_tracker import *  # noqa: F403

sys.modules[__name__] = _itself
