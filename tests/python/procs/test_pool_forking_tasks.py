"""A task may fork: its child that comes back from the task ends there, and the pool never hears of it."""

from __future__ import annotations

import json

import pytest
from child import run_script

SCRIPT = """
import json, logging, os, sys, time
from forkful import ProcessPoolExecutor

def square(n):
    return n * n

def forks(way, told):
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)
    os.write(told, b"c")
    print("from the child")
    if way == "raise":
        raise ValueError("in the child")
    if way == "exit":
        sys.exit(7)
    return "from the child"

def leaves(told):
    # As a daemon does: the first process ends, the second one goes on.
    if os.fork():
        os._exit(0)
    os.setsid()
    os.write(told, b"c")

if __name__ == "__main__":
    method, way = sys.argv[1:]
    # The child tells by the standard error, which every worker has.
    with ProcessPoolExecutor(2, start_method=method) as pool:
        if way == "leave":
            died = type(pool.submit(leaves, 2).exception()).__name__
            result = died
        else:
            result = pool.submit(forks, way, 2).result()
        right = [f.result() for f in [pool.submit(square, n) for n in range(2000)]] == [n * n for n in range(2000)]
        deaths = pool.stats().deaths
    print(json.dumps([result, right, deaths]))
"""


@pytest.mark.parametrize("method", ["fork", "zygote", "spawn"])
@pytest.mark.parametrize(
    ("way", "result", "deaths"), [("return", 0, 0), ("raise", 1, 0), ("exit", 7, 0), ("leave", "WorkerDied", 1)]
)
def test_a_child_that_comes_back_from_the_task_ends(method: str, way: str, result: object, deaths: int) -> None:
    done = run_script(SCRIPT, method, way)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert json.loads(lines[-1]) == [result, True, deaths]
    assert lines.count("from the child") == (way != "leave")
    assert "c" in done.stderr
    assert ("ValueError: in the child" in done.stderr) == (way == "raise")


LOGGING = """
import json, logging, os, sys
from forkful import ProcessPoolExecutor

seen = []

class Keep(logging.Handler):
    def emit(self, record):
        seen.append((os.getpid(), record.getMessage()))

def logs():
    pid = os.fork()
    if pid == 0:
        logging.getLogger("a.b").warning("from the child")
        os._exit(0)
    os.waitpid(pid, 0)
    logging.getLogger("a.b").warning("from the task")
    return 1

if __name__ == "__main__":
    logging.getLogger().addHandler(Keep())
    with ProcessPoolExecutor(1, relay_logs=True, start_method=sys.argv[1]) as pool:
        result = [pool.submit(logs).result() for _ in range(3)]
        deaths = pool.stats().deaths
    print(json.dumps([result, [text for pid, text in seen if pid == os.getpid()], deaths]))
"""


@pytest.mark.parametrize("method", ["fork", "zygote"])
def test_a_child_logs_as_if_nothing_were_relayed(method: str) -> None:
    done = run_script(LOGGING, method)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[1, 1, 1], ["from the task"] * 3, 0]
    # A zygote's worker has no handler of its own; the interpreter's last resort writes the message.
    assert done.stderr.count("from the child") == (3 if method == "zygote" else 0)


LONG = """
import json, logging, sys
from forkful import ProcessPoolExecutor

lengths = []

class Keep(logging.Handler):
    def emit(self, record):
        lengths.append(len(record.getMessage()))

def logs(n):
    logging.warning("%s", "x" * n)

def fails():
    raise ValueError("y" * 300_000)

if __name__ == "__main__":
    logging.getLogger().addHandler(Keep())
    with ProcessPoolExecutor(1, relay_logs=True) as pool:
        for n in (10, 131_000, 200_000, 3_000_000, 11):
            pool.submit(logs, n).result()
    with ProcessPoolExecutor(1, initializer=fails) as pool:
        error = pool.submit(print).exception()
    print(json.dumps([lengths, type(error.__cause__).__name__, len(str(error.__cause__))]))
"""


def test_long_records_and_long_causes_arrive_whole() -> None:
    done = run_script(LONG)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[10, 131_000, 200_000, 3_000_000, 11], "ValueError", 300_000]


CLOSING = """
import json, os, sys, time
from pathlib import Path
from forkful import ProcessPoolExecutor

def closes(folder):
    os.closerange(3, 256)
    files = [open(f"{folder}/{n}", "w") for n in range(12)]
    for file in files:
        file.write("mine")
        file.flush()
    time.sleep(60)

if __name__ == "__main__":
    with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
        future = pool.submit(closes, sys.argv[2])
        while sum(path.stat().st_size == 4 for path in Path(sys.argv[2]).iterdir()) < 12:
            time.sleep(0.001)
        future.kill()
        error = future.exception()
    print(json.dumps([type(error).__name__, "in closes" in (error.stack or "")]))
"""


@pytest.mark.parametrize("method", ["fork", "zygote"])
def test_a_stack_is_not_written_into_files_that_a_task_has_opened(method: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    done = run_script(CLOSING, method, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["TaskKilled", True]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}
