"""Programs as people write them: the same output under python and under `forkful run`, and with forkful's own names."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

METHODS = ("fork", "spawn", "forkserver")

PROGRAMS = {
    "workers on queues": """
        import multiprocessing, sys

        def serve(orders, answers):
            for function, argument in iter(orders.get, None):
                answers.put((argument, function(argument)))

        def double(number):
            return 2 * number

        def square(number):
            return number * number

        if __name__ == "__main__":
            multiprocessing.set_start_method(sys.argv[1])
            orders, answers = multiprocessing.Queue(), multiprocessing.Queue()
            work = [(function, number) for function in (double, square) for number in range(20)]
            for each in work:
                orders.put(each)
            workers = [multiprocessing.Process(target=serve, args=(orders, answers)) for _ in range(3)]
            for worker in workers:
                worker.start()
            print(sorted(answers.get() for _ in work))
            for worker in workers:
                orders.put(None)
            for worker in workers:
                worker.join()
            print([worker.exitcode for worker in workers], [worker.name for worker in workers])
        """,
    "a pipe and its end": """
        import multiprocessing, sys

        def talk(line, other):
            other.close()  # or there would be no end while this process lives
            try:
                while True:
                    line.send(line.recv()[::-1])
            except EOFError:
                line.close()

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            ours, theirs = context.Pipe()
            process = context.Process(target=talk, args=(theirs, ours))
            process.start()
            theirs.close()
            for word in ("once", [1, 2, 3], b"bytes" * 50_000):
                ours.send(word)
                print(str(ours.recv())[:40])
            ours.close()
            process.join()
            print(process.exitcode)
        """,
    "shared state under a lock": """
        import multiprocessing, sys

        def count(lock, total, cells, times):
            for _ in range(times):
                with lock:
                    total.value += 1
                    cells[0] -= 0.5
            with cells.get_lock():
                cells[1] += times

        if __name__ == "__main__":
            multiprocessing.set_start_method(sys.argv[1])
            lock = multiprocessing.Lock()
            total, cells = multiprocessing.Value("i", 0, lock=False), multiprocessing.Array("d", [0.0, 0.0])
            processes = [multiprocessing.Process(target=count, args=(lock, total, cells, 200)) for _ in range(3)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            print(total.value, cells[:])
        """,
    "a pool": """
        import multiprocessing, multiprocessing.pool, os, sys

        def power(base, exponent=2):
            return base**exponent

        def fail(number):
            raise KeyError(number)

        def begin(word):
            global greeting
            greeting = word

        def greet(name):
            return f"{greeting}, {name}"

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            with context.Pool(2, initializer=begin, initargs=("Hello",)) as pool:
                print(pool.map(power, range(10), chunksize=3), pool.apply(power, (2,), {"exponent": 10}))
                print(list(pool.imap(power, range(5))), sorted(pool.imap_unordered(power, range(5))))
                print(pool.starmap(power, [(2, 3), (3, 2)]), pool.apply_async(greet, ("you",)).get(60))
                results = []
                pool.map_async(power, [3], callback=results.append).wait(60)
                print(results)
                try:
                    pool.map(fail, [1])
                except KeyError as error:
                    print("KeyError", error)
            with multiprocessing.pool.ThreadPool(2) as pool:
                print(pool.map(power, range(4)), pool.map(lambda n: os.getpid() == n, [os.getpid()]))
        """,
    "events, conditions and barriers": """
        import multiprocessing, sys

        def take_part(ready, go, barrier, line):
            ready.release()
            go.wait()
            line.put(barrier.wait() in (0, 1, 2))
            with done:
                pass

        def wait_for(condition, value):
            with condition:
                value.value += 1
                condition.notify()
                condition.wait_for(lambda: value.value == 10)

        class Nothing:
            def __enter__(self): pass
            def __exit__(self, *_): pass

        done = Nothing()

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            ready, go, barrier, line = context.Semaphore(0), context.Event(), context.Barrier(3), context.SimpleQueue()
            processes = [context.Process(target=take_part, args=(ready, go, barrier, line)) for _ in range(3)]
            for process in processes:
                process.start()
            for process in processes:
                ready.acquire()
            print(go.is_set(), line.empty())
            go.set()
            print([line.get() for _ in processes], go.wait(0))
            for process in processes:
                process.join()
            condition, value = context.Condition(), context.Value("i", 0)
            process = context.Process(target=wait_for, args=(condition, value))
            with condition:
                process.start()
                print(condition.wait_for(lambda: value.value == 1, 60))
                value.value = 10
                condition.notify_all()
            process.join()
            print(process.exitcode)
        """,
    "a manager": """
        import multiprocessing, sys
        from multiprocessing.managers import BaseManager, SharedMemoryManager

        class Counter:
            def __init__(self):
                self.count = 0
            def add(self, number):
                self.count += number
                return self.count

        class Counters(BaseManager):
            pass

        Counters.register("Counter", Counter)

        def fill(numbers, words, counter):
            numbers.append(len(numbers))
            words["from the child"] = True
            counter.add(5)

        if __name__ == "__main__":
            multiprocessing.set_start_method(sys.argv[1])
            with multiprocessing.Manager() as manager, Counters() as counters:
                numbers, words, counter = manager.list([7]), manager.dict(), counters.Counter()
                process = multiprocessing.Process(target=fill, args=(numbers, words, counter))
                process.start()
                process.join()
                print(numbers, words, counter.add(1), process.exitcode)
                queue, event, lock = manager.Queue(), manager.Event(), manager.Lock()
                with lock:
                    queue.put(1)
                    event.set()
                print(queue.get(), event.is_set(), manager.Value("i", 4).value, list(manager.Array("i", [1])))
                with manager.Pool(1) as pool:
                    print(pool.map(abs, [-1, -2]))
            with SharedMemoryManager() as blocks:
                block = blocks.SharedMemory(size=4)
                block.buf[0] = 3
                print(block.buf[0], list(blocks.ShareableList([1, "two"])))
        """,
    "listeners and clients": """
        import multiprocessing, sys
        from multiprocessing.connection import Client, Listener, wait

        def call(address, name):
            with Client(address, authkey=b"secret") as line:
                line.send(name)
                print("answer:", line.recv(), flush=True)

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            with Listener(authkey=b"secret") as listener:
                process = context.Process(target=call, args=(listener.address, "child"))
                process.start()
                with listener.accept() as line:
                    print(wait([line], 60) == [line], line.recv())
                    line.send("welcome")
                process.join()
            print(process.exitcode)
        """,
    "shared memory": """
        import multiprocessing, sys
        from multiprocessing.shared_memory import ShareableList, SharedMemory

        def fill(name, listed):
            block = SharedMemory(name)
            block.buf[:4] = b"done"
            block.close()
            items = ShareableList(name=listed)
            items[1] = "changed"
            items.shm.close()

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            # As the standard library's children would have trackers of their own, until 3.13.
            block, items = SharedMemory(create=True, size=4), ShareableList([1, "original"])
            process = context.Process(target=fill, args=(block.name, items.shm.name))
            process.start()
            process.join()
            print(bytes(block.buf), list(items), process.exitcode)
            for each in (block, items.shm):
                each.close()
                each.unlink()
        """,
    "threads by the same interface": """
        import multiprocessing.dummy, queue, sys, threading

        def work(tasks, results):
            while (task := tasks.get()) is not None:
                results.append(task * 2)
                tasks.task_done()
            tasks.task_done()

        if __name__ == "__main__":
            tasks, results = queue.Queue(maxsize=3), []
            threads = [threading.Thread(target=work, args=(tasks, results)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for number in [*range(10), None, None]:
                tasks.put(number)
            tasks.join()
            for thread in threads:
                thread.join()
            print(sorted(results), threading.active_count())
            with multiprocessing.dummy.Pool(2) as pool:
                print(pool.map(abs, [-1, 2]))
            first, second = multiprocessing.dummy.Pipe()
            process = multiprocessing.dummy.Process(target=first.send, args=("thread",))
            process.start()
            print(second.recv(), process.join(), process.exitcode)
            waiter, lock = threading.Condition(), threading.Lock()
            timer = threading.Timer(0.01, lambda: [waiter.acquire(), waiter.notify(), waiter.release()])
            with waiter:
                timer.start()
                print(waiter.wait(60))
        """,
}

CASES = [
    pytest.param(name, method, id=f"{name}, {method}")
    for name in PROGRAMS
    for method in (METHODS if "sys.argv[1]" in PROGRAMS[name] else ("fork",))
]


def output(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout
    return done.stdout


@pytest.mark.parametrize(("name", "method"), CASES)
def test_the_same_output(name: str, method: str, tmp_path: Path) -> None:
    text = textwrap.dedent(PROGRAMS[name])
    (tmp_path / "program.py").write_text(text)
    expected = output(["program.py", method], tmp_path)
    assert output(["-m", "forkful", "run", "program.py", method], tmp_path) == expected
    # And with forkful's names in the program's own text.
    renamed = text
    for module in ("multiprocessing", "queue", "threading"):
        renamed = renamed.replace(f"from {module}.", f"from forkful.{module}.")
    lines = [
        line.replace("import multiprocessing", "import forkful.multiprocessing as multiprocessing")
        if line.startswith("import ")
        else line
        for line in renamed.splitlines()
    ]
    head = [each for line in lines if line.startswith("import ") for each in imports(line)]
    body = [line for line in lines if not line.startswith("import ")]
    (tmp_path / "renamed.py").write_text("\n".join([*head, *body, ""]))
    assert output(["renamed.py", method], tmp_path) == expected


def imports(line: str) -> list[str]:
    """`import a, b.c` as statements of forkful's modules where there are such."""
    found = ["import forkful"] if "multiprocessing" in line else []
    for name in (
        line.removeprefix("import ")
        .replace("forkful.multiprocessing as multiprocessing", "multiprocessing")
        .split(", ")
    ):
        package = name.partition(".")[0]
        if package in ("multiprocessing", "queue", "threading"):
            found += [f"import forkful.{name}", f"import forkful.{package} as {package}"]
        else:
            found.append(f"import {name}")
    return found
