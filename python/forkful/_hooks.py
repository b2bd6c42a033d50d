"""Tells the engine of forks; imported by whoever uses the engine, in a pool's process or in a worker."""

from __future__ import annotations

import os

from forkful import _engine

os.register_at_fork(before=_engine.before_fork, after_in_child=_engine.after_fork_in_child)
