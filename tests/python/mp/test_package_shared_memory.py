"""Shared memory: the standard library's API, an exact account of what is to be unlinked, and no word on stderr about it."""

from __future__ import annotations

import multiprocessing.shared_memory
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from child import Child, run_clean
from eventually import eventually

import forkful.multiprocessing as mp
from forkful.multiprocessing import shared_memory
from forkful.multiprocessing.shared_memory import ShareableList, SharedMemory

METHODS = ("fork", "spawn", "forkserver")


def exists(name: str) -> bool:
    return os.path.exists(f"/dev/shm/{name}")


@pytest.fixture
def block() -> Iterator[SharedMemory]:
    block = SharedMemory(create=True, size=100)
    yield block
    block.close()
    if exists(block.name):
        block.unlink()


def test_it_is_one_of_the_standard_librarys(block: SharedMemory) -> None:
    assert isinstance(block, multiprocessing.shared_memory.SharedMemory)
    assert repr(block) == f"SharedMemory({block.name!r}, size=100)"
    assert block.buf.nbytes == block.size == 100
    assert exists(block.name)


def test_two_of_one_block(block: SharedMemory) -> None:
    other = SharedMemory(block.name)
    third = pickle.loads(pickle.dumps(block))
    theirs = multiprocessing.shared_memory.SharedMemory(block.name)
    block.buf[:5] = b"words"
    assert bytes(other.buf[:5]) == bytes(third.buf[:5]) == bytes(theirs.buf[:5]) == b"words"
    assert type(third) is SharedMemory
    for each in (other, third, theirs):
        each.close()
    assert exists(block.name)
    if sys.version_info < (3, 13):
        # It has registered itself, which is the standard library's way until then.
        multiprocessing.resource_tracker.unregister(theirs._name, "shared_memory")  # type: ignore[attr-defined]


def test_a_name_of_the_users() -> None:
    name = f"forkful-test-{os.getpid()}"
    block = SharedMemory(name, create=True, size=1)
    assert block.name == name
    with pytest.raises(FileExistsError):
        SharedMemory(name, create=True, size=1)
    assert SharedMemory(name).size == 1
    block.close()
    block.unlink()
    with pytest.raises(FileNotFoundError):
        block.unlink()
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match="'size' must be a positive integer"):
        SharedMemory(create=True, size=-1)
    with pytest.raises(ValueError, match="'size' must be a positive number different from zero"):
        SharedMemory(create=True)
    with pytest.raises(ValueError, match="'name' can only be None if create=True"):
        SharedMemory()
    with pytest.raises(TypeError):
        SharedMemory(None, True, 1, False)  # type: ignore[misc]


def test_a_size_that_cannot_be_leaves_nothing() -> None:
    name = f"forkful-test-huge-{os.getpid()}"
    with pytest.raises((OSError, OverflowError, ValueError)):
        SharedMemory(name, create=True, size=1 << 62)
    assert not exists(name)


def test_close(block: SharedMemory) -> None:
    view = block.buf[2:4]
    with pytest.raises(BufferError):
        block.close()
    view.release()
    block.close()
    block.close()
    assert block.buf is None


def test_a_forgotten_view_is_no_matter() -> None:
    assert (
        run_clean("""
        from forkful.multiprocessing.shared_memory import SharedMemory
        block = SharedMemory(create=True, size=4)
        view = block.buf[1:]
        block.unlink()
        del block
        view[0] = 3
        print(view[0])
        """)
        == "3\n"
    )


def test_a_list() -> None:
    values = [1, 2.5, True, None, "text", b"bytes"]
    one = ShareableList(values)
    two = ShareableList(name=one.shm.name)
    three = pickle.loads(pickle.dumps(one))
    assert list(one) == list(two) == list(three) == values
    assert isinstance(one, multiprocessing.shared_memory.ShareableList)
    assert type(one.shm) is type(two.shm) is SharedMemory
    assert type(three) is ShareableList
    two[0] = 7
    one[4] = "word"
    assert (one[0], three[0], two[4], len(three), one.count(7), one.index("word")) == (7, 7, "word", 6, 1, 4)
    assert one.format == multiprocessing.shared_memory.ShareableList(name=one.shm.name).format
    for each in (two, three, one):
        each.shm.close()
    one.shm.unlink()
    assert set(shared_memory.__all__) == {"SharedMemory", "ShareableList"}


# --- the account ---


def attach(name: str, package: str) -> None:
    module = __import__(f"{package}.shared_memory", fromlist=["SharedMemory"])
    block = module.SharedMemory(name)
    block.buf[0] += 1
    block.close()


def create_and_leave(line: Any) -> None:
    block = SharedMemory(create=True, size=3)
    block.buf[0] = 5
    line.send(block.name)
    block.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_block_outlives_those_that_attach_and_its_maker(method: str, block: SharedMemory) -> None:
    ctx = mp.get_context(method)
    for _ in range(3):
        process = ctx.Process(target=attach, args=(block.name, "forkful.multiprocessing"))
        process.start()
        process.join()
        assert process.exitcode == 0
    assert block.buf[0] == 3
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=create_and_leave, args=(writer,))
    process.start()
    name = reader.recv()
    process.join()
    left = SharedMemory(name)
    assert left.buf[0] == 5
    left.close()
    left.unlink()
    reader.close()
    writer.close()


QUIET = """
import multiprocessing.shared_memory, os, subprocess, sys
import forkful.multiprocessing as mp
from forkful.multiprocessing.shared_memory import ShareableList, SharedMemory

def attach(name):
    block = SharedMemory(name)
    block.buf[0] += 1
    block.close()

def unlink(name):
    SharedMemory(name).unlink()

def make_and_unlink():
    block = SharedMemory(create=True, size=1)
    block.close()
    block.unlink()

def make_and_forget():
    SharedMemory(create=True, size=1)

if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    for work in (attach, attach, unlink):
        if work is attach:
            block = SharedMemory(create=True, size=1)
        process = ctx.Process(target=work, args=(block.name,))
        process.start()
        process.join()
        print(process.exitcode, os.path.exists("/dev/shm/" + block.name))
    try:
        block.unlink()
    except FileNotFoundError:
        print("twice")
    for work in (make_and_unlink, make_and_forget):
        process = ctx.Process(target=work)
        process.start()
        process.join()
        print(process.exitcode)
    forgotten = SharedMemory(create=True, size=1), ShareableList([1, 2])
    # By a program that is no relative, and so keeps another account.
    stranger = SharedMemory(create=True, size=1)
    code = "import sys; from forkful.multiprocessing.shared_memory import SharedMemory as S; S(sys.argv[1]).unlink()"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, stranger.name], capture_output=True, text=True)
    print(done)
    print("forgotten", forgotten[0].name, forgotten[1].shm.name)
"""


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_said_and_nothing_is_left(method: str) -> None:
    before = set(os.listdir("/dev/shm"))
    lines = run_clean(QUIET, method).splitlines()
    assert lines[:4] == ["0 True", "0 True", "0 False", "twice"]
    assert lines[4:6] == ["0", "0"]
    assert lines[6].endswith("returncode=0, stdout='', stderr='')"), lines[6]
    names = set(lines[7].split()[1:])
    assert len(names) == 2
    assert not names & before
    assert eventually(lambda: not any(map(exists, names)))


KILLED = """
import sys, time
from forkful.multiprocessing.shared_memory import SharedMemory
blocks = [SharedMemory(create=True, size=1), SharedMemory(sys.argv[1], create=True, size=1, track=sys.argv[2] == "track")]
print(blocks[0].name, flush=True)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("track", ["track", "keep"])
def test_a_killed_maker(track: str) -> None:
    name = f"forkful-test-killed-{os.getpid()}-{track}"
    with Child(KILLED, name, track) as child:
        other = child.read_line().strip()
        child.await_line("ready")
        assert exists(other)
        assert exists(name)
        os.kill(child.process.pid, signal.SIGKILL)
        outcome = child.outcome()
        assert outcome.stderr == "", str(outcome)
    assert eventually(lambda: not exists(other))
    if track == "track":
        assert eventually(lambda: not exists(name))
    else:
        # As was asked for.
        SharedMemory(name).unlink()
        assert not exists(name)


def test_a_tracker_that_the_standard_library_has_started_does_too() -> None:
    assert (
        run_clean("""
        import multiprocessing.resource_tracker
        multiprocessing.resource_tracker.ensure_running()
        from forkful.multiprocessing.shared_memory import SharedMemory
        block = SharedMemory(create=True, size=1)
        SharedMemory(block.name).close()
        block.unlink()
        print(block.size)
        """)
        == "1\n"
    )
