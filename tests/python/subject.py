"""The names under test: forkful's, or the standard library's own where it serves as the reference.

``FORKFUL_TEST_REFERENCE=1 pytest tests/python/contract`` runs the shared contract over the standard library. What
passes there as well is the standard library's behaviour, and not merely what this engine happens to do.
"""

from __future__ import annotations

import concurrent.futures
import os
import sys

REFERENCE = os.environ.get("FORKFUL_TEST_REFERENCE") == "1"

if REFERENCE:
    import concurrent.futures as futures
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
    from concurrent.futures.thread import BrokenThreadPool

    AutoExecutor = None
else:
    import forkful.futures as futures
    from forkful.futures.auto import AutoExecutor
    from forkful.futures.process import BrokenProcessPool, ProcessPoolExecutor
    from forkful.futures.thread import BrokenThreadPool

# The standard library's classes, wherever `futures` points and whatever install() has replaced meanwhile.
StdFuture = concurrent.futures.Future
StdExecutor = concurrent.futures.ThreadPoolExecutor
std_wait = concurrent.futures.wait
std_as_completed = concurrent.futures.as_completed

Future = futures.Future
ThreadPoolExecutor = futures.ThreadPoolExecutor

# The promise is 3.14's API on every interpreter; the reference has it from 3.14 on.
API_OF_3_14 = not REFERENCE or sys.version_info >= (3, 14)

__all__ = [
    "API_OF_3_14",
    "REFERENCE",
    "AutoExecutor",
    "BrokenProcessPool",
    "BrokenThreadPool",
    "Future",
    "ProcessPoolExecutor",
    "StdExecutor",
    "StdFuture",
    "ThreadPoolExecutor",
    "futures",
    "std_as_completed",
    "std_wait",
]
