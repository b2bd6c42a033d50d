"""A template forked beside threads that hammer locks bears workers that run."""

from __future__ import annotations

import pytest
from procs.nursery_driver import run_nursery

SCRIPT = """
import faulthandler, importlib, logging, queue, shutil, tempfile, warnings
warnings.simplefilter("ignore", DeprecationWarning)
faulthandler.register(signal.SIGUSR1, chain=False)
folder = tempfile.mkdtemp()
handler = logging.FileHandler(os.path.join(folder, "log"))
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel(logging.INFO)
sys.path.append(folder)
for number in range(40):
    with open(os.path.join(folder, f"slow{number}.py"), "w") as file:
        file.write("import time\\ntime.sleep(0.002)\\n")
stop, scale = False, int(sys.argv[2])
def log():
    while not stop: logging.info("hammer" * 20)
def load():
    while not stop:
        for number in range(40):
            sys.modules.pop(f"slow{number}", None)
            try: importlib.import_module(f"slow{number}")
            except (ImportError, KeyError): pass
def lines():
    with open(os.devnull, "w") as file:
        while not stop: print("hammer", file=file)
threads = [threading.Thread(target=work) for work in [log] * 4 * scale + [load] * 3 * scale + [lines] * 3 * scale]
for thread in threads: thread.start()
code = '''
import asyncio, logging, threading, subprocess, sys
logging.info("worker")
for number in range(0, 40, 8):
    __import__(f"slow{number}")
thread = threading.Thread(target=print, args=("",)); thread.start(); thread.join()
asyncio.run(asyncio.sleep(0))
subprocess.run([sys.executable, "-c", ""], check=True)
sys.exit(11)
'''
try:
    for _ in range(int(sys.argv[1])):
        pool = Pool("fork", code)
        pool.socket.settimeout(40)
        try:
            assert pool.once() == 11
        except TimeoutError:
            # The stacks of those that hang, then of nobody else.
            for pid in (pool.pid, *pool.pidfds):
                os.kill(pid, signal.SIGUSR1)
            time.sleep(1)
            raise
        pool.close()
        os.waitpid(pool.pid, 0)
    sys.stdout.write("all\\n")
finally:
    stop = True
    for thread in threads: thread.join()
    handler.close()
    shutil.rmtree(folder)
"""


@pytest.mark.parametrize(
    ("trials", "scale"), [(4, 2), pytest.param(20, 5, marks=[pytest.mark.stress, pytest.mark.timeout(900)])]
)
def test_threads_that_hold_locks_at_the_fork(trials, scale):
    outcome = run_nursery(SCRIPT, str(trials), str(scale), warnings="ignore", seconds=100 if scale == 2 else 800)
    assert outcome.returncode == 0 and outcome.stdout.endswith("all\n"), outcome


def test_a_logging_stream_that_another_thread_is_stuck_in():
    outcome = run_nursery(
        """
        import logging
        reads, writes = os.pipe()
        handler = logging.StreamHandler(open(writes, "w"))
        logging.getLogger().addHandler(handler)
        stuck = threading.Thread(target=logging.error, args=("x" * (1 << 17),))
        stuck.start()
        while handler.lock.acquire(blocking=False):
            handler.lock.release()
            time.sleep(0.001)
        # The worker's own message goes to another file, by a descriptor with room.
        pool = Pool("fork", "import logging, os; os.dup2(os.open(os.devnull, os.O_WRONLY), %d); logging.error('mine')" % writes)
        print(pool.once())
        left = (1 << 17) + 1
        while left: left -= len(os.read(reads, 1 << 16))
        stuck.join()
        """,
        warnings="ignore",
    )
    assert (outcome.returncode, outcome.stdout) == (0, "0\n"), outcome


def test_two_launches_beside_plain_forks_and_new_logging():
    outcome = run_nursery(
        """
        import concurrent.futures.thread, logging, logging.config
        logging.basicConfig(stream=open(os.devnull, "w"))
        def forks():
            for _ in range(30):
                pid = os.fork()
                if pid == 0: os._exit(0)
                os.waitpid(pid, 0)
        def configures():
            for _ in range(200):
                logging.config.dictConfig({"version": 1, "disable_existing_loggers": False,
                    "handlers": {"h": {"class": "logging.NullHandler"}}, "root": {"handlers": ["h"]}})
        def launches():
            for _ in range(10):
                pool = Pool("fork", "pass")
                assert pool.once() == 0
                pool.close()
                os.waitpid(pool.pid, 0)
        threads = [threading.Thread(target=work) for work in (forks, configures, launches, launches)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print("all")
        """,
        warnings="ignore",
    )
    assert outcome.returncode == 0 and outcome.stdout == "all\n", outcome
