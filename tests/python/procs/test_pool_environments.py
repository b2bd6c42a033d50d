"""Hostile surroundings: no /dev/shm, filtered system calls, an interpreter built long ago."""

from __future__ import annotations

import errno
import os
import platform
from pathlib import Path

import pytest
from child import Outcome, run_script

METHODS = ["fork", "zygote", "spawn"]

# What a pool is asked, wherever it is.
WORK = """
def echo(value): return value

def work():
    with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
        squares = [pool.submit(pow, n, 2) for n in range(50)]
        assert [future.result() for future in squares] == [n * n for n in range(50)]
        for size in (1 << 10, 1 << 20, 5 << 20, 20 << 20):
            assert pool.submit(echo, b"x" * size).result() == b"x" * size
        dead = pool.submit(os._exit, 3).exception()
        assert dead.exit_code == 3, dead
        late = pool.with_options(timeout=0.5).submit(time.sleep, 60).exception()
        assert type(late).__name__ == "TaskTimeout", late
        print("worked", pool.submit(pow, 3, 2).result())
"""


def run(text: str, *args: str) -> Outcome:
    return run_script(WORK + text, *args, seconds=100)


def worked(outcome: Outcome) -> bool:
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "worked 9\n", ""), outcome
    return True


# --- /dev/shm ---

SHM = """
import ctypes, os, sys, time
from forkful import ProcessPoolExecutor

def mount(how):
    libc = ctypes.CDLL(None, use_errno=True)
    def must(result):
        if result != 0:
            print("not permitted:", os.strerror(ctypes.get_errno()))
            sys.exit(77)
    must(libc.unshare(0x00020000))  # CLONE_NEWNS
    must(libc.mount(None, b"/", None, 0x44000, None))  # MS_REC | MS_PRIVATE: the machine keeps its own
    if how == "64 MB":
        must(libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=64m"))
        room = os.statvfs("/dev/shm")
        assert room.f_blocks * room.f_frsize == 64 << 20
    else:
        must(libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 1, b"size=4k"))  # MS_RDONLY: nothing can be put there
        try:
            open("/dev/shm/file", "w")
        except OSError:
            pass
        else:
            raise AssertionError("it can be written")

if __name__ == "__main__":
    mount(sys.argv[2])
    work()
    assert os.listdir("/dev/shm") == []
"""


@pytest.mark.parametrize("how", ["64 MB", "none"])
@pytest.mark.parametrize("method", METHODS)
def test_shared_memory_s_file_system_is_not_needed(method: str, how: str) -> None:
    outcome = run(SHM, method, how)
    if outcome.returncode == 77:
        pytest.skip(f"a mount namespace of one's own is needed: {outcome.stdout.strip()}")
    assert worked(outcome)


# --- seccomp ---

NUMBERS = {
    "x86_64": {
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "ptrace": 101,
        "memfd_create": 319,
        "pidfd_open": 434,
        "pidfd_send_signal": 424,
        "epoll_create1": 291,
        "eventfd2": 290,
    },
    "aarch64": {
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "ptrace": 117,
        "memfd_create": 279,
        "pidfd_open": 434,
        "pidfd_send_signal": 424,
        "epoll_create1": 20,
        "eventfd2": 19,
    },
}.get(platform.machine(), {})

SECCOMP = """
import ctypes, os, struct, sys, time
from forkful import ProcessPoolExecutor

def forbid(numbers, error):
    # Load the call's number; for each one that matches answer with the error; allow the rest.
    program = [struct.pack("HBBI", 0x20, 0, 0, 0)]
    for number in numbers:
        program.append(struct.pack("HBBI", 0x15, 0, 1, number))
        program.append(struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error))
    program.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
    code = ctypes.create_string_buffer(b"".join(program))
    whole = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(whole), 0, 0):
        print("not permitted:", os.strerror(ctypes.get_errno()))
        sys.exit(77)

if __name__ == "__main__":
    forbid([int(number) for number in sys.argv[3:]], int(sys.argv[2]))
    try:
        work()
    except OSError as error:
        print(type(error).__name__, error.errno, error)
"""


def filtered(method: str, error: int, *calls: str) -> Outcome:
    if not NUMBERS:
        pytest.skip(f"the numbers of system calls on {platform.machine()} are not listed here")
    outcome = run(SECCOMP, method, str(error), *(str(NUMBERS[call]) for call in calls))
    if outcome.returncode == 77:
        pytest.skip(f"no filter can be set: {outcome.stdout.strip()}")
    return outcome


@pytest.mark.parametrize("method", METHODS)
def test_looking_into_other_processes_is_not_needed(method: str) -> None:
    assert worked(filtered(method, errno.EPERM, "process_vm_readv", "process_vm_writev", "ptrace"))


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM], ids=["ENOSYS", "EPERM"])
@pytest.mark.parametrize("call", ["memfd_create", "pidfd_open", "pidfd_send_signal", "epoll_create1", "eventfd2"])
@pytest.mark.parametrize("method", METHODS)
def test_a_call_that_is_forbidden_is_named(method: str, call: str, error: int) -> None:
    outcome = filtered(method, error, call)
    assert (outcome.returncode, outcome.stderr) == (0, ""), outcome
    kind = "PermissionError" if error == errno.EPERM else "OSError"
    assert outcome.stdout.startswith(f"{kind} {error} "), outcome
    # glibc's name of the call is the older one.
    assert f"{call.removesuffix('2')}: " in outcome.stdout, outcome
    assert "seccomp" in outcome.stdout and "concurrent.futures' own pool" in outcome.stdout, outcome


# --- interpreters ---


@pytest.mark.parametrize("method", METHODS)
def test_an_interpreter_that_was_built_without_the_calls(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As portable builds are, which know the C library and the kernel of ten years ago.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\n"
        "for module, name in ((os, 'memfd_create'), (os, 'pidfd_open'), (os, 'P_PIDFD'), (signal, 'pidfd_send_signal')):\n"
        "    if hasattr(module, name): delattr(module, name)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    outcome = run(
        """
import os, signal, sys, time
from forkful import ProcessPoolExecutor

if __name__ == "__main__":
    assert not hasattr(os, "pidfd_open") and not hasattr(signal, "pidfd_send_signal")
    work()
""",
        method,
    )
    assert worked(outcome)
