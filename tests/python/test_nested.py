"""Tasks that submit to their own pool and wait: any depth, on as little as one worker."""

import contextvars
import threading
import traceback

import pytest
import subject
from eventually import eventually
from subject import futures

pytestmark = pytest.mark.skipif(subject.REFERENCE, reason="the standard library deadlocks")

WAITS = [futures.wait, subject.std_wait]
COMPLETED = [futures.as_completed, subject.std_as_completed]


@pytest.fixture
def one(make):
    """One worker."""
    return make(1, "one")


@pytest.mark.parametrize("depth", [1, 300, 2000])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_deep_chain_finishes(make, depth, workers):
    executor = make(workers)

    def chain(left):
        return 0 if left == 0 else 1 + executor.submit(chain, left - 1).result()

    assert executor.submit(chain, depth).result() == depth


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_wide_and_deep_tree_finishes(make, workers):
    executor = make(workers)

    def fib(n):
        if n < 2:
            return n
        left, right = executor.submit(fib, n - 1), executor.submit(fib, n - 2)
        return left.result() + right.result()

    assert executor.submit(fib, 14).result() == 377


@pytest.mark.parametrize("timeout", [1000, 1000.5])
def test_a_chain_with_timeouts_finishes(one, timeout):
    def chain(left):
        return 0 if left == 0 else 1 + one.submit(chain, left - 1).result(timeout=timeout)

    assert one.submit(chain, 40).result() == 40


def test_exception_waits_like_result(one):
    assert one.submit(lambda: one.submit(int).exception()).result() is None
    error = one.submit(lambda: one.submit(int, "x").exception()).result()
    assert isinstance(error, ValueError)


def test_a_timeout_fires_although_the_only_worker_waits(one, gate):
    def parent():
        child = one.submit(gate.wait)
        with pytest.raises(futures.TimeoutError):
            child.result(timeout=0.03)
        return child

    child = one.submit(parent).result()
    gate.set()
    assert child.result() is True


def test_a_task_that_polls_its_child_sees_it_wait(one):
    def parent():
        child = one.submit(abs, -1)
        with pytest.raises(futures.TimeoutError):
            child.result(timeout=0)
        return child

    assert one.submit(parent).result().result() == 1


@pytest.mark.parametrize("wait", WAITS, ids=["own", "stdlib"])
@pytest.mark.parametrize("timeout", [None, 1000])
def test_wait_inside_a_task_finishes(one, wait, timeout):
    def parent():
        children = [one.submit(abs, -number) for number in range(5)]
        done, not_done = wait(children, timeout=timeout)
        assert not not_done
        return sorted(child.result() for child in done)

    assert one.submit(parent).result() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("as_completed", COMPLETED, ids=["own", "stdlib"])
@pytest.mark.parametrize("timeout", [None, 1000])
def test_as_completed_inside_a_task_finishes(one, as_completed, timeout):
    def parent():
        children = [one.submit(abs, -number) for number in range(5)]
        return sorted(child.result() for child in as_completed(children, timeout=timeout))

    assert one.submit(parent).result() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("wait", WAITS, ids=["own", "stdlib"])
def test_nested_waits_of_waits_finish(one, wait):
    def tree(depth):
        if depth == 0:
            return 1
        done, _ = wait([one.submit(tree, depth - 1) for _ in range(2)])
        return sum(child.result() for child in done)

    assert one.submit(tree, 5).result() == 32


def test_map_inside_a_task_finishes(one):
    def parent():
        return sum(one.map(lambda n: sum(one.map(abs, range(n))), range(5)))

    assert one.submit(parent).result() == 10


def test_all_workers_waiting_at_once_finish(make):
    executor = make(4)
    barrier = threading.Barrier(4)

    def parent(number):
        barrier.wait()
        return executor.submit(abs, -number).result()

    assert sorted(executor.map(parent, range(4))) == [0, 1, 2, 3]


def test_several_tasks_may_wait_for_the_same_child(make, gate):
    executor = make(2)
    ready = threading.Barrier(2)
    executor_busy = [executor.submit(ready.wait) for _ in range(2)]
    for future in executor_busy:
        future.result()
    box, both = [], threading.Barrier(3)

    def parent():
        both.wait()
        return box[0].result()

    parents = [executor.submit(parent) for _ in range(2)]
    box.append(executor.submit(abs, -9))
    both.wait()
    assert [future.result() for future in parents] == [9, 9]


def test_a_wait_with_a_lock_held_runs_no_other_task(one):
    lock = threading.Lock()
    order = []

    def needs_the_lock():
        with lock:
            order.append("other")

    def parent():
        with lock:
            other = one.submit(needs_the_lock)
            child = one.submit(order.append, "child")
            child.result()
            order.append("parent")
        return other

    one.submit(parent).result().result()
    assert order == ["child", "parent", "other"]


@pytest.mark.parametrize("timeout", [None, 1000])
def test_chains_with_a_lock_held_at_each_step_finish(one, timeout):
    def chain(left):
        with threading.Lock():
            return 0 if left == 0 else 1 + one.submit(chain, left - 1).result(timeout)

    assert one.submit(chain, 50).result() == 50


def test_a_child_runs_in_a_fresh_context(one):
    variable = contextvars.ContextVar("variable", default="default")

    def child():
        before = variable.get()
        variable.set("child")
        return before

    def parent():
        variable.set("parent")
        return one.submit(child).result(), variable.get()

    assert one.submit(parent).result() == ("default", "parent")


def test_exceptions_pass_through_every_level(one):
    def chain(left):
        if left == 0:
            raise KeyError("bottom")
        return one.submit(chain, left - 1).result()

    future = one.submit(chain, 5)
    with pytest.raises(KeyError, match="bottom") as caught:
        future.result()
    names = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert names.count("chain") == 6


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_whatever_a_child_raises_belongs_to_its_future(one, error):
    def child():
        raise error

    def parent():
        return type(one.submit(child).exception())

    assert one.submit(parent).result() is error
    assert one.submit(abs, -1).result() == 1


def test_a_cancelled_child_raises_in_its_parent(one):
    def parent():
        child = one.submit(int)
        assert child.cancel()
        child.result()

    with pytest.raises(futures.CancelledError):
        one.submit(parent).result()


def test_a_callback_may_wait_for_a_task_of_its_pool(one):
    seen = []
    future = one.submit(int)
    future.add_done_callback(lambda _: seen.append(one.submit(abs, -3).result()))
    assert eventually(lambda: seen == [3])


def test_children_call_back_once(one):
    seen = []

    def parent():
        child = one.submit(abs, -1)
        child.add_done_callback(seen.append)
        child.result()
        return child

    child = one.submit(parent).result()
    assert seen == [child]
