"""Low limits of this process: a pool works with less, or says at once which limit is in the way; nothing hangs or is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from child import Outcome, run_script
from eventually import eventually

METHODS = ["fork", "zygote", "spawn"]


def run(text: str, *args: str) -> Outcome:
    outcome = run_script(text, *args, warnings="always::RuntimeWarning", seconds=100)
    assert outcome.returncode == 0, outcome
    return outcome


# --- descriptors ---

# Each attempt in a process of its own, forked, as the first pool of a process opens what all share.
ATTEMPTS = """
import os, resource, sys, time
from forkful import ProcessPoolExecutor

def attempt(limit):
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
            naps = [pool.submit(time.sleep, 0.1) for _ in range(4)]
            squares = [pool.submit(pow, n, 2) for n in range(20)]
            assert [future.result() for future in squares] == [n * n for n in range(20)]
            assert not any(nap.exception() for nap in naps)
            # Those that are on their way included: the word of a birth may be later than the last result.
            return f"{len(pool._processes)} workers"
    except OSError as error:
        return f"{type(error).__name__} {error}"

if __name__ == "__main__":
    for limit in range(7, 27):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writes, 1)
            # What the test's own machinery has left open is not counted.
            os.closerange(3, 1024)
            print(limit, attempt(limit), flush=True)
            os._exit(0)
        os.close(writes)
        with open(reads) as file:
            print(file.read(), end="")
        os.waitpid(child, 0)
"""


@pytest.mark.parametrize("method", METHODS)
def test_too_few_descriptors_are_said_at_once_or_are_enough(method: str) -> None:
    outcome = run(ATTEMPTS, method)
    ends = {int(limit): end for limit, _, end in (line.partition(" ") for line in outcome.stdout.splitlines())}
    assert sorted(ends) == list(range(7, 27)), outcome
    enough = min(limit for limit, end in ends.items() if end == "2 workers")
    assert enough <= (16 if method == "fork" else 22), outcome
    for limit, end in ends.items():
        if limit >= enough:
            assert end == "2 workers", outcome
        else:
            assert end.startswith("OSError") and f"RLIMIT_NOFILE (ulimit -n), is {limit}" in end, outcome
            assert "raise it" in end, outcome
    assert "Traceback" not in outcome.stderr, outcome


FULL = """
import os, resource, sys, time
from forkful import ProcessPoolExecutor

def fill():
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return taken

def empty(taken):
    while taken: os.close(taken.pop())

def die(): os._exit(1)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_grows_when_descriptors_are_there_again(method: str) -> None:
    outcome = run(
        FULL
        + """
if __name__ == "__main__":
    with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
        print(pool.submit(pow, 3, 2).result())
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        taken = fill()
        naps = [pool.submit(time.sleep, 0.2) for _ in range(4)]
        assert not any(nap.exception() for nap in naps)
        print(len(pool.workers()), pool.stats().deaths)
        empty(taken)
        while len(pool.workers()) < 2:
            pool.submit(time.sleep, 0.05).result()
            naps = [pool.submit(time.sleep, 0.05) for _ in range(4)]
            assert not any(nap.exception() for nap in naps)
""",
        method,
    )
    assert outcome.stdout == "9\n1 0\n", outcome
    assert outcome.stderr.count("a pool goes on with fewer workers") == 1, outcome
    assert "RLIMIT_NOFILE (ulimit -n), is 64" in outcome.stderr, outcome


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_can_not_be_replaced_breaks_the_pool_with_that_reason(method: str) -> None:
    outcome = run(
        FULL
        + """
if __name__ == "__main__":
    with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
        print(pool.submit(pow, 3, 2).result())
        dying = pool.submit(time.sleep, 0.3), pool.submit(die)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        taken = fill()
        # Its own descriptors are free by then, and somebody else takes them.
        while not dying[1].done():
            taken += fill()
            time.sleep(0.001)
        try:
            last = pool.submit(pow, 2, 2)
            while not last.done():
                taken += fill()
                time.sleep(0.001)
            empty(taken)
            print(last.result())
        except Exception as error:
            empty(taken)
            print(error)
""",
        method,
    )
    first, last = outcome.stdout.splitlines()
    assert first == "9"
    # Whoever is quicker gets what the dead worker had.
    assert last == "4" or ("RLIMIT_NOFILE (ulimit -n), is 64" in last and "broken" in last), outcome


@pytest.mark.parametrize("method", ["fork", "zygote"])
def test_a_worker_whose_descriptor_got_lost_is_a_worker(method: str) -> None:
    outcome = run(
        FULL
        + """
import signal
from pathlib import Path

def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

def held(pid):
    infos = []
    for fd in os.listdir("/proc/self/fd"):
        try: infos.append(Path(f"/proc/self/fdinfo/{fd}").read_text())
        except OSError: pass
    return any(f"Pid:\\t{pid}\\n" in info for info in infos)

if __name__ == "__main__":
    with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
        first = pool.submit(os.getpid).result()
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        nursery = parent_of(first)
        os.kill(nursery, signal.SIGSTOP)
        naps = [pool.submit(time.sleep, 0.5) for _ in range(2)]
        taken = fill()
        os.kill(nursery, signal.SIGCONT)
        while len(pool.workers()) < 2: time.sleep(0.001)
        assert not any(nap.exception() for nap in naps)
        # Its end is told by its nursery, which can also kill it.
        naps = [pool.submit(time.sleep, 60) for _ in range(2)]
        while not all(nap.running() for nap in naps): time.sleep(0.001)
        print([nap.kill() for nap in naps], [type(nap.exception()).__name__ for nap in naps])
        empty(taken)
        # The same again, and this time it gets its descriptor after a while.
        first = pool.submit(os.getpid).result()
        os.kill(nursery, signal.SIGSTOP)
        naps = [pool.submit(time.sleep, 0.5) for _ in range(2)]
        taken = fill()
        os.kill(nursery, signal.SIGCONT)
        while len(pool.workers()) < 2: time.sleep(0.001)
        second, = {worker.pid for worker in pool.workers()} - {first}
        empty(taken)
        while not held(second): time.sleep(0.01)
        os.kill(second, signal.SIGKILL)
        while second in {worker.pid for worker in pool.workers()}: time.sleep(0.001)
        print(pool.stats().deaths)
""",
        method,
    )
    assert outcome.stdout == "[True, True] ['TaskKilled', 'TaskKilled']\n3\n", outcome


@pytest.mark.parametrize("method", METHODS)
def test_a_start_that_fails_anywhere_leaves_nothing(method: str) -> None:
    outcome = run(
        FULL
        + """
import forkful._tracker
import forkful.futures._recipe as module

def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return file.read().split()

if __name__ == "__main__":
    # What all pools share, the zygote and the resource tracker among it, which may be started a little later.
    forkful._tracker.running()
    with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
        pool.submit(pow, 2, 2).result()
    # No look at the room beforehand: each step of a start finds that there is none.
    module._ROOM = dict.fromkeys(module._ROOM, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    fds, processes, failed = len(os.listdir("/proc/self/fd")), len(children()), 0
    for room in range(16):
        pool = ProcessPoolExecutor(1, start_method=sys.argv[1])
        taken = fill()
        for _ in range(room): os.close(taken.pop())
        try:
            failed += pool.submit(pow, 2, 2).exception() is not None
        except OSError:
            failed += 1
        empty(taken)
        pool.shutdown()
        del pool
    while len(os.listdir("/proc/self/fd")) > fds or len(children()) > processes:
        time.sleep(0.01)
    print(2 < failed < 14)
""",
        method,
    )
    assert outcome.stdout == "True\n", outcome


# --- file size, address space ---

PAYLOADS = """
import resource, sys
from forkful import ProcessPoolExecutor

def echo(value): return value

if __name__ == "__main__":
    resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[3]),) * 2)
    try:
        with ProcessPoolExecutor(2, start_method=sys.argv[2]) as pool:
            print(pool.submit(pow, 3, 2).result())
            for size in (1 << 10, 100 << 10, 1 << 20, 8 << 20, 64 << 20):
                try:
                    assert len(pool.submit(echo, bytes(size)).result()) == size
                    print(size, "well")
                except (ValueError, MemoryError) as error:
                    print(size, type(error).__name__, error)
            print(pool.submit(pow, 3, 2).result(), pool.stats().deaths)
    except OSError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_low_limit_of_file_size_is_named_or_leaves_less_room(method: str) -> None:
    for limit in (0, 100_000, 2_000_000):
        said = run(PAYLOADS, "RLIMIT_FSIZE", method, str(limit)).stdout
        assert said.startswith("OSError") and f"RLIMIT_FSIZE (ulimit -f), is {limit}" in said, said
    lines = run(PAYLOADS, "RLIMIT_FSIZE", method, str(6_000_000)).stdout.splitlines()
    assert lines[:4] == ["9", "1024 well", "102400 well", "1048576 well"], lines
    assert all("ValueError" in line and "RLIMIT_FSIZE" in line for line in lines[4:6]), lines
    assert lines[6:] == ["9 0"], lines


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("megabytes", [80, 300, 1000, 4000])
def test_a_small_address_space_is_named_or_leaves_less_room(method: str, megabytes: int) -> None:
    lines = run(PAYLOADS, "RLIMIT_AS", method, str(megabytes << 20)).stdout.splitlines()
    if "OSError" in lines[0]:
        assert "RLIMIT_AS" in lines[0] and megabytes < 300, lines
        return
    assert lines[0] == "9", lines
    assert lines[1] == "1024 well", lines
    assert megabytes < 4000 or all(line.endswith("well") for line in lines[1:-1]), lines
    assert lines[-1] == "9 0", lines


# --- processes and threads ---

PROCESSES = """
import os, resource, sys, time
from pathlib import Path
from forkful import ProcessPoolExecutor

def limited(limit):
    if sys.argv[2].startswith("/"):
        Path(sys.argv[2], "pids.max").write_text(str(limit))
        Path(sys.argv[2], "cgroup.procs").write_text("0")
    else:
        os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))

if __name__ == "__main__":
    limited(int(sys.argv[3]))
    try:
        with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
            naps = [pool.submit(time.sleep, 0.1) for _ in range(6)]
            worst = [nap.exception() for nap in naps][-1]
            print(worst or f"{len(pool._processes)} workers")
    except OSError as error:
        print(type(error).__name__, error)
"""


@contextmanager
def group(name: str) -> Iterator[str]:
    """A control group that counts processes."""
    root = Path("/sys/fs/cgroup/pids")
    place = root if root.is_dir() else Path("/sys/fs/cgroup")
    place = place / f"forkful-test-{os.getpid()}-{name}"
    try:
        place.mkdir()
        if not (place / "pids.max").exists():
            place.rmdir()
            raise OSError("the controller `pids` is not delegated")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield str(place)
    finally:
        assert eventually(lambda: removed(place)), place


def removed(place: Path) -> bool:
    try:
        place.rmdir()
    except OSError:
        return False
    return True


def judge(ends: dict[int, str]) -> None:
    enough = min((limit for limit, end in ends.items() if end.endswith("workers")), default=None)
    assert enough is not None and ends[max(ends)] == "2 workers", ends
    for limit, end in ends.items():
        if limit < enough:
            assert "RLIMIT_NPROC" in end and "pids.max" in end, ends


@pytest.mark.parametrize("method", METHODS)
def test_too_few_processes_are_said_or_are_enough(method: str) -> None:
    # The program, two threads of the pool's, the nursery, the resource tracker, two workers: and less than that.
    ends = {}
    for limit in range(1, 10):
        with group(str(limit)) as place:
            ends[limit] = run(PROCESSES, method, place, str(limit)).stdout.strip()
    judge(ends)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who has no processes yet")
def test_a_low_limit_of_processes_is_named() -> None:
    # Somebody else each time: what has ended and was not waited for still counts.
    ends = {
        limit: run(PROCESSES, "fork", str(20_000 + (os.getpid() * 16 + limit) % 40_000), str(limit)).stdout.strip()
        for limit in range(1, 9)
    }
    judge(ends)
    assert any("RLIMIT_NPROC (ulimit -u) is 4" in end for end in ends.values()), ends
