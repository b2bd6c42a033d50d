"""Which of threads and processes a function needs, found out by running it.

Knows: the public executors. Does not know: the command line.
"""

from __future__ import annotations
