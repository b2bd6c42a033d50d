"""Forks while threads are at work: neither parent nor child deadlocks."""

import pytest
import subject
from forking import run_forking as run

pytestmark = pytest.mark.skipif(subject.REFERENCE, reason="the standard library's pools hang after a fork")

STORM = """
{hook}
sys.setswitchinterval(1e-4)
pool, stop = ThreadPoolExecutor(2), threading.Event()

def storm():
    while not stop.is_set():
        submitted = [pool.submit(int) for _ in range(20)]
        for future in submitted[::5]:
            future.result()

threads = [threading.Thread(target=storm) for _ in range(4)]
for thread in threads:
    thread.start()
pool.submit(int).result()

def child():
    raises(BrokenThreadPool, pool.submit, int)
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(abs, -1).result() == 1
    pool.shutdown()

for _ in range(50):
    in_child(child)
stop.set()
for thread in threads:
    thread.join()
assert pool.submit(abs, -1).result() == 1
"""


@pytest.mark.parametrize(
    "hook",
    ["", "os.register_at_fork(before=lambda: time.sleep(0.0005))"],
    ids=["quiet", "hostile-hook"],
)
def test_forks_while_threads_submit_deadlock_nobody(hook):
    # A hook that gives up the interpreter between another library's before-hook and the fork shows at once who
    # sleeps on a lock while holding the interpreter.
    run(STORM.format(hook=hook))


@pytest.mark.timeout(150)
def test_a_multiprocessing_child_uses_a_pool_of_its_own():
    run(
        """
        pool = ThreadPoolExecutor(2)
        list(pool.map(abs, range(10)))

        def work():
            with ThreadPoolExecutor(2) as fresh:
                assert list(fresh.map(abs, range(50))) == list(range(50))

        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        assert process.exitcode == 0
        assert pool.submit(abs, -1).result() == 1
        """
    )
