"""Ctrl-C, to the whole group as a terminal sends it or to the pool's process alone: the program ends, with one traceback.

No task here ends by itself: a program that waits for one hangs, and the child's watchdog says so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from child import Child, Outcome
from gates import behind

from forkful import ProcessPoolExecutor, _interrupt

METHODS = ["fork", "zygote", "spawn"]
WHOM = ["group", "parent"]

# Tasks say on standard output that they have begun, so that nobody is interrupted before there is something to interrupt.
TASKS = """
    import asyncio, os, sys, time
    from forkful import ProcessPoolExecutor
    from forkful.futures.process import run_at_exit

    def nap():
        os.write(1, b"ready\\n")
        time.sleep(1000)

    def stubborn():
        os.write(1, b"ready\\n")
        while True:
            try:
                time.sleep(1000)
            except KeyboardInterrupt:
                pass

    def quick(n):
        return n

    method = sys.argv[1]
"""


def interrupted(
    text: str,
    method: str,
    whom: str,
    times: int = 1,
    returncode: int = -signal.SIGINT,
    words: tuple[str, ...] = ("ready",),
) -> Outcome:
    """Runs a program, interrupts it when it has said these words, `times` times, and waits for its end."""
    said = ""
    with Child(TASKS + text, method) as child:
        child.await_lines(*words)
        for n in range(times):
            if n > 0:
                # Not in the middle of what it says of the first one.
                said += child.await_error("KeyboardInterrupt")
            time.sleep(0.2)
            try:
                (os.killpg if whom == "group" else os.kill)(child.process.pid, signal.SIGINT)
            except ProcessLookupError:
                break
        outcome = child.outcome()
    outcome = replace(outcome, stderr=said + outcome.stderr)
    assert outcome.returncode == returncode, str(outcome)
    # Workers have nothing to say about it.
    assert "_worker.py" not in outcome.stderr and "_child.py" not in outcome.stderr, str(outcome)
    return outcome


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("whom", WHOM)
def test_it_ends_the_with_block(method: str, whom: str) -> None:
    text = """
    if __name__ == "__main__":
        with ProcessPoolExecutor(2, start_method=method) as pool:
            futures = [pool.submit(nap) for _ in range(6)]
            futures[0].result()
    """
    outcome = interrupted(text, method, whom)
    assert outcome.stderr.count("Traceback") == 1, str(outcome)


@pytest.mark.parametrize("method", METHODS)
def test_workers_without_a_task_say_nothing(method: str) -> None:
    text = """
    if __name__ == "__main__":
        with ProcessPoolExecutor(2, start_method=method) as pool:
            list(pool.map(quick, range(4), chunksize=1))
            os.write(1, b"ready\\n")
            time.sleep(1000)
    """
    outcome = interrupted(text, method, "group")
    assert outcome.stderr.count("Traceback") == 1, str(outcome)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("whom", WHOM)
def test_it_ends_tasks_that_swallow_it_and_nothing_is_tried_again(method: str, whom: str) -> None:
    text = """
    if __name__ == "__main__":
        with ProcessPoolExecutor(2, start_method=method) as pool:
            futures = [pool.with_options(retries=1000).submit(stubborn) for _ in range(4)]
            futures[0].result()
    """
    outcome = interrupted(text, method, whom)
    assert outcome.stderr.count("Traceback") == 1, str(outcome)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("whom", WHOM)
def test_it_ends_asyncio(method: str, whom: str) -> None:
    text = """
    async def main():
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(2, start_method=method) as pool:
            await asyncio.gather(*[loop.run_in_executor(pool, nap) for _ in range(6)])

    if __name__ == "__main__":
        asyncio.run(main())
    """
    assert interrupted(text, method, whom).stderr.rstrip().endswith("KeyboardInterrupt")


def test_it_ends_asyncio_where_another_task_holds_the_pool() -> None:
    text = """
    async def work():
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(2, start_method=method) as pool:
            await asyncio.gather(*[loop.run_in_executor(pool, nap) for _ in range(6)])

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(1000)

    if __name__ == "__main__":
        asyncio.run(main())
    """
    assert interrupted(text, "fork", "group").stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("whom", WHOM)
def test_it_ends_initializers(method: str, whom: str) -> None:
    text = """
    if __name__ == "__main__":
        with ProcessPoolExecutor(2, start_method=method, initializer=nap) as pool:
            pool.submit(quick, 1).result()
    """
    outcome = interrupted(text, method, whom)
    assert outcome.stderr.count("Traceback") == 1, str(outcome)


@pytest.mark.parametrize("method", METHODS)
def test_workers_that_are_being_born_say_nothing(method: str) -> None:
    text = """
    if __name__ == "__main__":
        with ProcessPoolExecutor(2, start_method=method) as pool:
            futures = [pool.submit(nap) for _ in range(4)]
            os.write(1, b"begun\\n")
            futures[0].result()
    """
    for moment in (0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3):
        with Child(TASKS + text, method) as child:
            child.await_line("begun")
            time.sleep(moment)
            os.killpg(child.process.pid, signal.SIGINT)
            outcome = child.outcome()
        assert outcome.returncode == -signal.SIGINT, str(outcome)
        assert outcome.stderr.count("Traceback") == 1, str(outcome)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("whom", WHOM)
@pytest.mark.parametrize("kept", [True, False])
def test_it_ends_a_program_without_a_with_block(method: str, whom: str, kept: bool) -> None:
    text = f"""
    if __name__ == "__main__":
        pool = ProcessPoolExecutor(2, start_method=method)
        futures = [pool.submit(nap) for _ in range(6)]
        if not {kept}:
            del pool
        futures[0].result()
    """
    outcome = interrupted(text, method, whom)
    assert outcome.stderr.count("Traceback") == 1, str(outcome)


@pytest.mark.parametrize("whom", WHOM)
def test_the_second_one_ends_it_at_once(whom: str) -> None:
    text = """
    if __name__ == "__main__":
        pool = ProcessPoolExecutor(2, start_method=method)
        futures = [pool.submit(stubborn) for _ in range(6)]
        futures[0].result()
    """
    outcome = interrupted(text, "fork", whom, times=2)
    assert outcome.stderr.count("Traceback") == 1, str(outcome)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("whom", WHOM)
@pytest.mark.parametrize("task", ["nap", "stubborn"])
def test_it_ends_the_wait_at_the_programs_end(method: str, whom: str, task: str) -> None:
    text = f"""
    if __name__ == "__main__":
        pool = ProcessPoolExecutor(2, start_method=method)
        futures = [pool.submit({task}) for _ in range(6)]
        run_at_exit(lambda: os.write(1, b"ending\\n"))
    """
    # As with the standard library's pools, the interpreter says that it was interrupted there.
    outcome = interrupted(text, method, whom, returncode=0, words=("ready", "ending"))
    assert outcome.stderr.count("Traceback") == 1, str(outcome)


def test_whoever_handles_it_goes_on() -> None:
    text = """
    if __name__ == "__main__":
        with ProcessPoolExecutor(1, start_method=method) as pool:
            future = pool.submit(nap)
            try:
                future.result()
            except KeyboardInterrupt:
                print(pool.submit(quick, 1).running() in (True, False), flush=True)
                future.kill()
            print(pool.submit(quick, 7).result(), flush=True)
    """
    assert interrupted(text, "fork", "parent", returncode=0).stdout == "True\n7\n"


def square(x: int) -> int:
    return x * x


def test_a_cancellation_that_has_nothing_to_do_with_it_waits(tmp_path: Path) -> None:
    async def main() -> Any:
        loop, futures = asyncio.get_running_loop(), []

        async def work() -> None:
            with ProcessPoolExecutor(1) as pool:
                futures.extend([pool.submit(behind, tmp_path / "gate", square, 3), pool.submit(square, 4)])
                try:
                    await asyncio.wrap_future(futures[0])
                finally:
                    (tmp_path / "gate").touch()

        task = asyncio.create_task(work())
        loop.call_later(0.1, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        # The one that was awaited is cancelled if it has not begun, as with the standard library; the other one has run.
        return futures[1]

    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        # One that is older than the block is none of its business.
        future = asyncio.run(main())
    assert future.done() and future.result() == 16


def test_what_follows_from_it_is_told_from_what_does_not() -> None:
    def follows(make: Any, entered: Any) -> bool:
        try:
            make()
        except BaseException as error:
            return bool(entered.explains(error))
        return bool(entered.explains(None))

    def wrapped() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1) from None

    def plain() -> None:
        raise asyncio.CancelledError

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    entered = _interrupt.mark()
    assert follows(wrapped, entered)
    assert not follows(plain, entered) and not follows(int, entered)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert follows(plain, entered) and not follows(lambda: 1 / 0, entered)
    # Whoever handles it in a way of his own knows what he does.
    own = signal.signal(signal.SIGINT, lambda *_: None)
    assert not follows(plain, entered)
    signal.signal(signal.SIGINT, own)
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        inside = _interrupt.mark()
        assert not follows(plain, inside)
        assert follows(wrapped, inside)


def test_a_prompt_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "last_type", None, raising=False)
    assert not _interrupt.ends_program()
    monkeypatch.setattr(sys, "last_type", KeyboardInterrupt)
    assert _interrupt.ends_program()
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert not _interrupt.ends_program()
