"""The standard library's threading itself, under this name too."""

from __future__ import annotations

import sys
import threading as _itself
from threading import *  # noqa: F403

sys.modules[__name__] = _itself
