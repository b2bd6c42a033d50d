"""The pool's threads: how many, when, by which names, and how they rest."""

import os
import sys
import threading

import pytest
from child import run_clean
from eventually import eventually
from subject import REFERENCE, ThreadPoolExecutor


def named(prefix):
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(prefix))


def occupy(executor, count):
    """Keeps `count` workers busy at once; returns their thread names."""
    barrier = threading.Barrier(count)

    def meet():
        barrier.wait()
        return threading.current_thread().name

    return sorted(future.result() for future in [executor.submit(meet) for _ in range(count)])


def test_threads_are_named_after_the_prefix_and_numbered(make):
    assert occupy(make(3, "Pool"), 3) == ["Pool_0", "Pool_1", "Pool_2"]
    assert occupy(make(2, thread_name_prefix="Other"), 2) == ["Other_0", "Other_1"]


def test_threads_without_a_prefix_are_numbered_per_pool(make):
    first, second = make(1), make(1)
    names = occupy(first, 1) + occupy(second, 1)
    numbers = []
    for name in names:
        head, _, worker = name.rpartition("_")
        assert worker == "0"
        assert head.startswith("ThreadPoolExecutor-")
        numbers.append(int(head.removeprefix("ThreadPoolExecutor-")))
    assert numbers[1] == numbers[0] + 1
    assert first._thread_name_prefix == f"ThreadPoolExecutor-{numbers[0]}"


def test_threads_are_real_threads_and_no_daemons(make):
    executor = make(2)
    (thread,) = {executor.submit(threading.current_thread).result()}
    assert isinstance(thread, threading.Thread)
    assert type(thread) is threading.Thread
    assert thread in threading.enumerate()
    assert not thread.daemon
    assert thread.ident == executor.submit(threading.get_ident).result() or len(executor._threads) > 1


@pytest.mark.skipif(REFERENCE, reason="beyond the standard library")
def test_daemon_threads_are_had_for_asking(make):
    assert make(1, daemon=True).submit(threading.current_thread).result().daemon
    assert not make(1, daemon=False).submit(threading.current_thread).result().daemon


@pytest.mark.skipif(REFERENCE, reason="beyond the standard library")
def test_extras_are_keyword_only():
    with pytest.raises(TypeError):
        ThreadPoolExecutor(1, "", None, (), True)


def test_no_thread_starts_before_the_first_task(make):
    executor = make(4, "lazy")
    assert named("lazy") == []
    assert len(executor._threads) == 0
    executor.submit(int).result()
    assert named("lazy") == ["lazy_0"]


def test_an_idle_thread_is_used_again(make):
    executor = make(8, "idle")
    for _ in range(20):
        executor.submit(int).result()
        assert eventually(lambda: executor._idle_semaphore._value > 0)
    assert named("idle") == ["idle_0"]


def test_threads_stop_at_the_maximum(make, gate):
    executor = make(3, "full")
    submitted = [executor.submit(gate.wait) for _ in range(20)]
    assert eventually(lambda: sum(future.running() for future in submitted) == 3)
    assert named("full") == ["full_0", "full_1", "full_2"]
    assert sum(future.running() for future in submitted) == 3
    gate.set()
    executor.shutdown()
    assert named("full") == []


def test_as_many_threads_start_as_tasks_need(make, gate):
    executor = make(100, "enough")
    submitted = [executor.submit(gate.wait) for _ in range(4)]
    assert eventually(lambda: all(future.running() for future in submitted))
    assert len(named("enough")) == 4


def test_a_thousand_workers_are_allowed_and_not_started(make):
    executor = make(1000, "many")
    executor.submit(int).result()
    assert executor._max_workers == 1000
    assert len(named("many")) == 1


def test_threads_live_while_the_pool_does(make):
    executor = make(2, "lives")
    names = occupy(executor, 2)
    assert named("lives") == names
    assert all(thread.is_alive() for thread in executor._threads)
    assert {thread.name for thread in executor._threads} == set(names)


def test_tasks_on_two_workers_overlap(make):
    # A barrier of two passes only if both tasks run at once.
    assert len(occupy(make(2), 2)) == 2


def test_thread_locals_stay_with_their_thread(make):
    executor, place = make(1), threading.local()
    executor.submit(setattr, place, "value", 9).result()
    assert executor.submit(getattr, place, "value").result() == 9


def test_tasks_are_seen_by_tracing_and_profiling():
    run_clean(
        """
        import threading
        from subject import ThreadPoolExecutor

        def task():
            return helper()
        def helper():
            return 1

        seen = set()
        def look(frame, event, arg):
            seen.add((event, frame.f_code.co_name))
            return look
        threading.setprofile(look)
        threading.settrace(look)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(task).result() == 1
        threading.setprofile(None)
        threading.settrace(None)
        assert {("call", "task"), ("call", "helper"), ("return", "task"), ("line", "helper")} <= seen, seen
        """
    )


def default_workers(setup=""):
    text = "import os\n" + setup + "\nfrom subject import ThreadPoolExecutor\nprint(ThreadPoolExecutor()._max_workers)"
    return int(run_clean(text))


def test_the_default_follows_the_cpus_this_process_may_use():
    allowed = len(os.sched_getaffinity(0))
    assert 5 <= default_workers() <= min(32, allowed + 4)


@pytest.mark.skipif(REFERENCE and sys.version_info < (3, 13), reason="the standard library asks from 3.13 on")
def test_the_default_on_one_cpu_is_five():
    assert default_workers("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})") == 5


@pytest.mark.skipif(REFERENCE and sys.version_info < (3, 13), reason="the standard library asks from 3.13 on")
def test_the_default_asks_when_the_pool_is_made_not_when_it_is_imported():
    script = """
    import os
    from subject import ThreadPoolExecutor
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(ThreadPoolExecutor()._max_workers, ThreadPoolExecutor(None)._max_workers, ThreadPoolExecutor(7)._max_workers)
    """
    assert run_clean(script) == "5 5 7\n"
