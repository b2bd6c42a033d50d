"""The standard library's multiprocessing.popen_spawn_posix itself, under this name too."""

from __future__ import annotations

import multiprocessing.popen_spawn_posix as _itself
import sys
from multiprocessing.popen_spawn_posix import *  # noqa: F403

sys.modules[__name__] = _itself
