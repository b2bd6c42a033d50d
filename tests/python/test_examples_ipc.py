"""The examples of communication between processes say the same under python and under `python -m forkful run`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "ipc"
WATCHDOG = 60

SAID = {
    "pipe.py": """\
7 lines, the longest of 49 characters
65 words, 37 of them different
 12 the
  5 and
  3 bell
""",
    "message_queue.py": """\
24 chunks, 11301 primes below 120000
the last one is 119993
""",
    "shared_memory_histogram.py": """\
1000000 bytes counted by 3 workers
  0 to  15  238965 ##############################
 64 to  79   78682 #########
128 to 143   39064 ####
192 to 207   15152 #
""",
    "memory_map.py": """\
before: 49995000 in 10000 accounts
after:  50994866
the file has kept its size
""",
    "semaphore.py": """\
12 pages, 9800 bytes
at most 3 at once
""",
    "signals.py": """\
started {'level': 'info', 'limit': 10}
reloaded {'level': 'debug', 'limit': 10}
kept {'level': 'debug', 'limit': 10}
reloaded {'level': 'info', 'limit': 99}
stopped {'level': 'info', 'limit': 99}
exit code 0
""",
    "socket_store.py": """\
everybody: 150
client 0: 1225
client 2: 1225
nobody: None
exit code 0
""",
}
WAYS = {"python": [], "forkful": ["-m", "forkful", "run"]}


def test_every_example_is_listed() -> None:
    assert sorted(SAID) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SAID)
def test_says(name: str, way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", *WAYS[way], str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == SAID[name]


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize("name", SAID)
def test_says_the_same_however_processes_start(name: str, method: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", START, method, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == SAID[name]


# As the module that it is: what another process starts with has to find its functions.
START = """
import importlib, multiprocessing, pathlib, sys
multiprocessing.set_start_method(sys.argv[1])
path = pathlib.Path(sys.argv[2])
sys.path.insert(0, str(path.parent))
importlib.import_module(path.stem).main()
"""


@pytest.mark.parametrize("name", SAID)
def test_is_an_unchanged_program(name: str) -> None:
    tree = ast.parse((EXAMPLES / name).read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)
