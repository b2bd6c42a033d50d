"""Subclasses of the queues: plain ones are ours, and those built on the standard library's insides work as they did."""

from __future__ import annotations

import multiprocessing.queues
import threading
from typing import Any

import pytest
from child import run_clean

from forkful import multiprocessing as mp
from forkful._engine import SharedQueue
from forkful.multiprocessing import queues

NAMES = ("Queue", "JoinableQueue", "SimpleQueue")


@pytest.mark.parametrize("name", NAMES)
def test_ours_are_subclasses_of_the_standard_librarys(name: str) -> None:
    assert isinstance(getattr(mp, name)(), getattr(multiprocessing.queues, name))


def test_a_plain_subclass_is_ours() -> None:
    class Tagged(queues.Queue):
        def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
            super().put(("tag", obj), block, timeout)

    tagged = Tagged(ctx=mp.get_context())
    tagged.put(1)
    assert tagged.get() == ("tag", 1)
    assert isinstance(tagged, SharedQueue) and isinstance(tagged, queues.Queue)


def test_one_that_wraps_the_ends_is_the_standard_librarys() -> None:
    class Counting(queues.SimpleQueue):
        def __init__(self, ctx: Any) -> None:
            super().__init__(ctx=ctx)
            reader: Any = self._reader
            self._reader: Any = self
            self.recv_bytes, self.poll, self.close = reader.recv_bytes, reader.poll, reader.close

    counting = Counting(mp.get_context())
    assert isinstance(counting, queues.SimpleQueue) and issubclass(Counting, queues.SimpleQueue)
    assert not isinstance(counting, queues.Queue)
    assert not isinstance(counting, SharedQueue)
    counting.put({"a": 1})
    assert not counting.empty() and counting.get() == {"a": 1}


def test_one_that_has_a_say_in_the_feeder_is_the_standard_librarys() -> None:
    told = threading.Event()

    class Safe(queues.JoinableQueue):
        def _on_queue_feeder_error(self, error: Exception, obj: object) -> None:
            told.set()

    safe = Safe(2, ctx=mp.get_context())
    safe.put(threading.Lock())
    assert told.wait(30)
    safe.put("kept")
    assert safe.get(timeout=30) == "kept"
    safe.task_done()
    safe.task_done()
    safe.join()
    assert safe.qsize() == 0 and not safe.full()
    with pytest.raises(ValueError):
        safe.task_done()
    safe.close()
    safe.join_thread()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_they_reach_children_where_it_is_installed(method: str) -> None:
    program = """
        import sys
        import forkful
        forkful.install()
        import multiprocessing
        from multiprocessing import queues

        class Own(queues.Queue):
            def __init__(self, tag, ctx):
                super().__init__(ctx=ctx)
                self.tag = tag

            def __getstate__(self):
                return self.tag, super().__getstate__()

            def __setstate__(self, state):
                self.tag, rest = state
                super().__setstate__(rest)

            def _start_thread(self):
                print("a thread of", self.tag, flush=True)
                super()._start_thread()

        def child(queue):
            queue.put(queue.tag)

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            queue = Own("mine", context)
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(queue.get(timeout=30))
            process.join()
            print(process.exitcode)
        """
    assert run_clean(program, method) == "a thread of mine\nmine\n0\n"
