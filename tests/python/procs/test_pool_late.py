"""A worker that starts late has what this process has by then, where it is told so: as with the standard library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from child import run_script

METHODS = ["zygote", "spawn"]

SCRIPT = """
import json, multiprocessing, os, sys, tempfile, time
from pathlib import Path

def executor(workers, **options):
    if sys.argv[1] == "standard":
        from concurrent.futures import ProcessPoolExecutor
        return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(sys.argv[2]), **options)
    from forkful import ProcessPoolExecutor
    return ProcessPoolExecutor(workers, start_method=sys.argv[2], **options)

def look():
    os.write(1, b"written\\n")
    umask = os.umask(0); os.umask(umask)
    return {"cwd": os.getcwd(), "environ": os.environ.get("NEW"), "gone": os.environ.get("GONE"), "path": sys.path[-1],
            "argv": sys.argv[-1], "umask": umask, "pid": os.getpid()}

def change(output):
    os.chdir("/"); os.environ["NEW"] = "new"; del os.environ["GONE"]
    sys.path.append("/nowhere"); sys.argv.append("more"); os.umask(0o027)
    os.dup2(output.fileno(), 1)

def wait(gate):
    while os.path.exists(gate):
        time.sleep(0.001)

if __name__ == "__main__":
    os.environ["GONE"] = "here"
    kept = os.dup(1)
    with tempfile.TemporaryFile() as output, tempfile.NamedTemporaryFile() as gate, executor(2) as pool:
        WAY
        output.seek(0)
        late["output"] = output.read().decode()
        os.dup2(kept, 1)
        print(json.dumps([early, late]))
"""

# The first worker is busy, so that another one is started.
GROWTH = """
        early = pool.submit(look).result()
        if sys.argv[1] == "standard" and sys.argv[2] != "fork":
            # It tells of a result before it counts the worker as idle, and would start the second one too early.
            while not pool._idle_worker_semaphore._value: time.sleep(0.001)
        busy = pool.submit(wait, gate.name)
        while not busy.running(): time.sleep(0.001)
        change(output)
        late = pool.submit(look).result()
        os.rename(gate.name, gate.name + "-open")
        busy.result()
        os.rename(gate.name + "-open", gate.name)
"""

# The first worker is gone.
REPLACEMENT = """
        early = pool.submit(look).result()
        change(output)
        pool.submit(os._exit, 1).exception()
        late = pool.submit(look).result()
"""

# It is gone, and work that waited for it has another one started while nobody submits anything.
REPLACEMENT_AT_WORK = """
        pool.shutdown()
        pool = executor(1)
        early = pool.submit(look).result()
        change(output)
        first, second = pool.submit(os._exit, 1), pool.submit(look)
        late = second.result()
        pool.shutdown()
"""


def seen(kind: str, method: str, way: str) -> tuple[dict[str, Any], dict[str, Any]]:
    outcome = run_script(SCRIPT.replace("        WAY", way.strip("\n")), kind, method)
    assert (outcome.returncode, outcome.stderr) == (0, ""), outcome
    early, late = json.loads(outcome.stdout.splitlines()[-1])
    assert early.pop("pid") != late.pop("pid")
    assert (early["environ"], early["gone"], early["path"] != "/nowhere") == (None, "here", True)
    return early, late


NOW = {
    "cwd": "/",
    "environ": "new",
    "gone": None,
    "path": "/nowhere",
    "argv": "more",
    "umask": 0o027,
    "output": "written\n",
}


@pytest.mark.parametrize("way", [GROWTH, REPLACEMENT, REPLACEMENT_AT_WORK], ids=["growth", "replaced", "at work"])
@pytest.mark.parametrize("method", METHODS)
def test_a_late_worker_has_the_state_of_its_start(method: str, way: str) -> None:
    assert seen("forkful", method, way)[1] == NOW


def test_so_it_is_in_the_standard_library_with_spawn() -> None:
    assert seen("standard", "spawn", GROWTH)[1] == NOW


def test_the_standard_library_s_forkserver_sends_a_part_of_it() -> None:
    late = seen("standard", "forkserver", GROWTH)[1]
    for name in ("cwd", "path", "argv"):
        assert late[name] == NOW[name]


def test_forked_workers_have_the_state_of_the_first_submission() -> None:
    early, late = seen("forkful", "fork", GROWTH)
    assert late.pop("output") == ""
    assert late == early


@pytest.mark.parametrize("method", METHODS)
def test_a_state_that_can_not_be_sent_costs_no_more_than_the_worker(method: str) -> None:
    outcome = run_script(
        """
        import os, sys, time
        from forkful import ProcessPoolExecutor
        if __name__ == "__main__":
            with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
                print(pool.submit(pow, 2, 2).result())
                sys.argv.append(lambda: None)
                naps = [pool.submit(time.sleep, 0.2) for _ in range(4)]
                assert not any(nap.exception() for nap in naps)
                print(len(pool.workers()))
                sys.argv.pop()
                while len(pool.workers()) < 2:
                    pool.submit(time.sleep, 0.05)
                    time.sleep(0.02)
        """,
        method,
        warnings="always",
    )
    assert (outcome.returncode, outcome.stdout) == (0, "4\n1\n"), outcome
    assert outcome.stderr.count("goes on with fewer workers") == 1 and "lambda" in outcome.stderr, outcome
