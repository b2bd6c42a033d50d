"""Programs of the kind that the standard library's documentation shows, the same under its modules and under ours.

Each script imports `threading` and `queue`; it is run as it is, and with our modules under those names. Both must end well, and
say the same.
"""

from __future__ import annotations

import textwrap

import pytest

INSTEAD = "import sys, forkful.threading, forkful.queue\nsys.modules.update(threading=forkful.threading, queue=forkful.queue)\n"

PROGRAMS = {
    "workers-and-join": """
        import queue, threading

        jobs, done = queue.Queue(), []

        def worker():
            while True:
                job = jobs.get()
                done.append(job * job)
                jobs.task_done()

        for _ in range(3):
            threading.Thread(target=worker, daemon=True).start()
        for job in range(30):
            jobs.put(job)
        jobs.join()
        print(sorted(done))
        """,
    "workers-and-a-word-to-stop": """
        import queue, threading

        def square(inbox, outbox):
            for job in iter(inbox.get, None):
                outbox.put(job * job)
            outbox.put(None)

        inbox, outbox = queue.Queue(2), queue.Queue(2)
        thread = threading.Thread(target=square, args=(inbox, outbox), name="square")
        feeder = threading.Thread(target=lambda: [inbox.put(n) for n in [*range(10), None]])
        thread.start()
        feeder.start()
        print(list(iter(outbox.get, None)))
        thread.join()
        feeder.join()
        print(thread.name, thread.is_alive())
        """,
    "priorities-of-things-that-cannot-be-compared": """
        from dataclasses import dataclass, field
        from queue import Empty, PriorityQueue
        from typing import Any

        @dataclass(order=True)
        class Job:
            priority: int
            what: Any = field(compare=False)

        jobs = PriorityQueue()
        for priority, what in ((3, {"low"}), (1, {"high"}), (2, {"middle"})):
            jobs.put(Job(priority, what))
        try:
            while True:
                print(jobs.get_nowait().what)
        except Empty:
            print("empty", jobs.empty(), jobs.qsize())
        """,
    "a-buffer-with-a-condition": """
        import threading

        items, changed, taken = [], threading.Condition(), []

        def produce(count):
            for number in range(count):
                with changed:
                    changed.wait_for(lambda: len(items) < 3)
                    items.append(number)
                    changed.notify_all()

        def consume(count):
            for _ in range(count):
                with changed:
                    while not items:
                        changed.wait()
                    taken.append(items.pop(0))
                    changed.notify_all()

        threads = [threading.Thread(target=produce, args=(40,))]
        threads += [threading.Thread(target=consume, args=(20,)) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(taken == sorted(taken), len(taken), items)
        """,
    "connections-behind-a-semaphore": """
        import threading, time

        limit, lock, open_now, most = threading.BoundedSemaphore(value=4), threading.Lock(), 0, 0

        def connect():
            global open_now, most
            with limit:
                with lock:
                    open_now += 1
                    most = max(most, open_now)
                time.sleep(0.005)
                with lock:
                    open_now -= 1

        threads = [threading.Thread(target=connect) for _ in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(open_now, 1 <= most <= 4)
        try:
            limit.release()
        except ValueError as error:
            print(error)
        """,
    "a-server-and-its-client-meet": """
        import threading

        meeting, said = threading.Barrier(2, timeout=30), []

        def server():
            said.append("listening")
            meeting.wait()
            meeting.wait()
            said.append("closed")

        def client():
            meeting.wait()
            said.append("connected")
            meeting.wait()

        threads = [threading.Thread(target=role) for role in (server, client)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(said, meeting.parties, meeting.n_waiting, meeting.broken)
        """,
    "a-timer-that-calls-and-one-that-is-cancelled": """
        import threading

        said = []
        soon, never = threading.Timer(0.01, said.append, args=["hello"]), threading.Timer(600, said.append, ["never"])
        soon.start()
        never.start()
        never.cancel()
        soon.join()
        never.join()
        print(said, soon.finished.is_set(), never.finished.is_set())
        """,
    "a-thread-that-beats-until-it-is-stopped": """
        import threading

        class Heart(threading.Thread):
            def __init__(self):
                super().__init__(daemon=True)
                self.stopped = threading.Event()
                self.beats = 0
                self.warm = threading.Event()

            def run(self):
                while not self.stopped.wait(0.001):
                    self.beats += 1
                    if self.beats == 5:
                        self.warm.set()

        heart = Heart()
        heart.start()
        print(heart.warm.wait(timeout=30))
        heart.stopped.set()
        heart.join()
        print(heart.beats >= 5, heart.is_alive())
        """,
    "values-of-ones-own": """
        import threading

        own, seen = threading.local(), []

        def run(value):
            own.value = value
            seen.append((own.value, threading.current_thread() is not threading.main_thread()))

        threads = [threading.Thread(target=run, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
            thread.join()
        print(seen, hasattr(own, "value"), threading.active_count())
        """,
    "an-error-in-a-thread": """
        import threading

        def hook(args):
            print(args.exc_type.__name__, args.exc_value, args.thread.name)

        threading.excepthook = hook
        thread = threading.Thread(target=lambda: 1 / 0, name="divides")
        thread.start()
        thread.join()
        """,
    "a-pipeline-of-stages": """
        import queue, threading

        def stage(work, source, sink):
            while (item := source.get()) is not None:
                sink.put(work(item))
            sink.put(None)

        pipes = [queue.Queue(maxsize=5) for _ in range(4)]
        works = (lambda n: n + 1, lambda n: n * 2, str)
        threads = [threading.Thread(target=stage, args=args) for args in zip(works, pipes, pipes[1:])]
        [thread.start() for thread in threads]
        def feed():
            for number in range(50):
                pipes[0].put(number)
            pipes[0].put(None)
        threads.append(threading.Thread(target=feed))
        threads[-1].start()
        print(list(iter(pipes[-1].get, None)))
        [thread.join() for thread in threads]
        """,
    "log-records-through-a-queue": """
        import logging, logging.handlers, queue, sys, threading

        records = queue.Queue(-1)
        show = logging.StreamHandler(sys.stdout)
        listener = logging.handlers.QueueListener(records, show)
        logger = logging.getLogger("x")
        logger.addHandler(logging.handlers.QueueHandler(records))
        listener.start()
        threads = [threading.Thread(target=logger.warning, args=("warned",)) for _ in range(5)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        listener.stop()
        """,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_runs_unchanged(run_clean, program):
    program = textwrap.dedent(program)
    ours = run_clean(INSTEAD + program)
    assert ours and ours == run_clean(program)
