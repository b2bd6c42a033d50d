"""map() over every executor: order, failures, limits, and the lazy way with `buffersize`."""

import functools
import itertools
import threading
import weakref

import pytest
import subject
from eventually import eventually
from subject import futures

lazy = pytest.mark.skipif(not subject.API_OF_3_14, reason="buffersize is 3.14's")


class Counted:
    """An endless iterable that says how much of it was taken."""

    def __init__(self):
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.taken += 1
        return self.taken - 1


class Thing:
    """Something that can be watched disappearing."""


def square(number):
    return number * number


def invert(number):
    return 12 // number


def make_thing(_):
    return Thing()


def pass_gate(gate, number):
    if number:
        gate.wait()
    return number


def test_results_come_in_the_order_of_the_input(executor):
    assert list(executor.map(square, range(500))) == [number * number for number in range(500)]


def test_several_iterables_end_with_the_shortest(executor):
    assert list(executor.map(pow, itertools.count(2), [2, 3, 2])) == [4, 27, 16]
    assert list(executor.map(pow, [2, 3], [2, 3, 2])) == [4, 27]


def test_map_over_nothing_yields_nothing(executor):
    assert list(executor.map(square, [])) == []
    assert list(executor.map(square)) == []


def test_an_exception_is_raised_at_its_place(executor):
    results = executor.map(invert, [1, 2, 0, 3])
    assert next(results) == 12
    assert next(results) == 6
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def stop_at(place, number):
    if number == place:
        raise StopIteration
    return number


def test_a_stopiteration_of_an_item_does_not_pass_for_the_end(executor):
    results = executor.map(functools.partial(stop_at, 2), range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        next(results)
    assert list(results) == []


def test_a_timeout_is_raised_by_the_iterator_after_the_ready_results(executor, gate):
    results = executor.map(functools.partial(pass_gate, gate), [0, 0, 1], timeout=0.2)
    seen = []
    with pytest.raises(futures.TimeoutError):
        for value in results:
            seen.append(value)
    assert seen in ([], [0], [0, 0])


def test_a_generous_timeout_does_not_disturb(executor):
    assert list(executor.map(square, range(5), timeout=1000)) == [0, 1, 4, 9, 16]


def test_the_input_is_taken_at_once_without_a_buffersize(executor):
    source = Counted()
    executor.map(square, itertools.islice(source, 50))
    assert source.taken == 50


def test_calls_begin_before_the_first_result_is_asked_for(thread_kind, make):
    began = threading.Event()
    results = make(1).map(lambda _: began.set(), [1])
    began.wait()
    assert list(results) == [None]


def test_an_error_of_the_input_reaches_the_caller_of_map(executor):
    def broken():
        yield 1
        raise KeyError("input")

    with pytest.raises(KeyError, match="input"):
        executor.map(square, broken())


def test_closing_early_cancels_what_has_not_begun(thread_kind, make, gate):
    executor, seen, second = make(1), [], threading.Event()

    def step(number):
        seen.append(number)
        if number == 1:
            second.set()
            gate.wait()
        return number

    results = executor.map(step, range(10))
    assert next(results) == 0
    second.wait()
    results.close()
    gate.set()
    executor.shutdown()
    assert seen == [0, 1]


def test_a_failure_cancels_what_has_not_begun(thread_kind, make, gate):
    executor, seen, second = make(1), [], threading.Event()

    def step(number):
        seen.append(number)
        if number == 1:
            second.set()
            gate.wait()
        if number == 0:
            raise KeyError(number)

    results = executor.map(step, range(10))
    second.wait()
    with pytest.raises(KeyError):
        next(results)
    gate.set()
    executor.shutdown()
    assert seen == [0, 1]


@pytest.mark.parametrize("chunksize", [1, 7, 100])
def test_a_chunksize_changes_no_result(executor, chunksize):
    assert list(executor.map(square, range(20), chunksize=chunksize)) == [n * n for n in range(20)]


def test_threads_ignore_the_chunksize(thread_kind, make):
    if thread_kind.name == "auto":
        # The rest of its map may go to processes, so that it does not depend on what is found out.
        with pytest.raises(ValueError, match="chunksize must be >= 1"):
            make(1).map(square, range(3), chunksize=0)
        return
    assert list(make(1).map(square, range(3), chunksize=0)) == [0, 1, 4]
    assert list(make(1).map(square, range(3), chunksize=-5)) == [0, 1, 4]


def test_limits_are_keyword_only(executor):
    with pytest.raises(TypeError):
        executor.map(square, [1], 10).__next__()


def test_map_after_shutdown_is_refused(executor):
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(square, [1, 2])


def test_results_are_let_go_once_they_are_yielded(executor):
    references = []
    for thing in executor.map(make_thing, range(20)):
        references.append(weakref.ref(thing))
        del thing
        assert eventually(lambda: all(ref() is None for ref in references))


def test_map_works_on_the_executors_own_submit(thread_kind, make):
    executor, seen = make(2), []
    original = executor.submit

    def submit(fn, *args):
        seen.append(args)
        return original(fn, *args)

    executor.submit = submit
    assert list(executor.map(square, [1, 2, 3])) == [1, 4, 9]
    assert seen == [(1,), (2,), (3,)]


@lazy
@pytest.mark.parametrize("buffersize", [1, 2, 7])
def test_a_buffersize_bounds_what_is_taken_of_an_endless_input(executor, buffersize):
    source = Counted()
    results = executor.map(square, source, buffersize=buffersize)
    assert source.taken == buffersize
    for step in range(20):
        assert next(results) == step * step
        assert source.taken == buffersize + step + 1
    results.close()
    assert source.taken == buffersize + 20


@lazy
def test_a_buffersize_beyond_the_input_changes_nothing(executor):
    assert list(executor.map(square, range(5), buffersize=100)) == [0, 1, 4, 9, 16]
    assert list(executor.map(square, [], buffersize=3)) == []
    assert list(executor.map(pow, itertools.count(2), [2, 3], buffersize=1)) == [4, 27]


@lazy
def test_no_more_is_taken_while_nobody_asks(thread_kind, make):
    source = Counted()
    executor = make(2)
    results = executor.map(square, source, buffersize=3)
    executor.submit(int).result()
    assert source.taken == 3
    executor.shutdown(wait=True)
    assert source.taken == 3
    with pytest.raises(RuntimeError):
        list(results)


@lazy
def test_an_exception_ends_the_lazy_way_and_takes_no_more(executor):
    source = iter([1, 2, 0, 3, 4, 6, 12])
    results = executor.map(invert, source, buffersize=2)
    assert [next(results), next(results)] == [12, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    assert list(source) == [6, 12]


@lazy
@pytest.mark.parametrize("buffersize", [0, -1])
def test_a_buffersize_below_one_is_refused(executor, buffersize):
    with pytest.raises(ValueError, match="buffersize must be None or > 0"):
        executor.map(square, [1], buffersize=buffersize)


@lazy
@pytest.mark.parametrize("buffersize", [1.0, "2", [3]])
def test_a_buffersize_that_is_no_integer_is_refused(executor, buffersize):
    with pytest.raises(TypeError, match="buffersize must be an integer or None"):
        executor.map(square, [1], buffersize=buffersize)


@lazy
def test_a_lazy_map_does_not_keep_a_forgotten_executor(thread_kind, make):
    executor = make(1)
    results = executor.map(square, range(10), buffersize=2)
    forgotten = weakref.ref(executor)
    del executor
    assert eventually(lambda: forgotten() is None)
    assert list(results) == [0, 1]


ours = pytest.mark.skipif(subject.REFERENCE, reason="not in the standard library")


@ours
def test_starmap_takes_arguments_from_tuples(executor):
    assert list(executor.starmap(pow, [(2, 5), [3, 2], (10, 3)])) == [32, 9, 1000]
    assert list(executor.starmap(pow, iter([(2, 5)]), buffersize=1)) == [32]
    assert list(executor.starmap(square, [])) == []


@ours
@pytest.mark.parametrize("count", [0, 1, 10, 3000])
def test_unordered_results_are_all_there(executor, count):
    assert sorted(executor.map_unordered(square, range(count))) == [n * n for n in range(count)]
    assert sorted(executor.map_unordered(pow, range(count), itertools.repeat(2))) == [n * n for n in range(count)]


@ours
def test_unordered_and_lazy_over_an_endless_input(executor):
    source = Counted()
    results = executor.map_unordered(square, source, buffersize=5)
    seen = [next(results) for _ in range(20)]
    assert set(seen) <= {n * n for n in range(30)} and len(set(seen)) == 20
    assert source.taken <= 30
    results.close()


@ours
def test_an_unordered_result_does_not_wait_for_an_earlier_item(executor, gate):
    results = executor.map_unordered(functools.partial(pass_gate, gate), [0, 0, 0])
    assert list(results) == [0, 0, 0]
    results = make_unordered(executor, gate)
    assert next(results) == 0
    gate.set()
    assert list(results) == [1]


def make_unordered(executor, gate):
    return executor.map_unordered(functools.partial(pass_gate, gate), [1, 0])


@ours
def test_an_exception_says_in_a_note_which_item_it_was(executor):
    for results in (
        executor.map(invert, [1, 2, 0, 3]),
        executor.map_unordered(invert, [0]),
        executor.starmap(invert, [(3,), (0,)]),
        executor.map(invert, iter([1, 0]), buffersize=2),
    ):
        with pytest.raises(ZeroDivisionError) as caught:
            list(results)
        place = caught.value.__notes__[-1]
        assert place in ("item 2 of map", "item 0 of map", "item 1 of map")


@ours
def test_many_are_submitted_at_once(executor):
    many = executor.submit_many(pow, [2, 3, 4], itertools.repeat(2))
    assert [future.result() for future in many] == [4, 9, 16]
    assert all(isinstance(future, futures.Future) for future in many)


@ours
def test_a_bar_shows_what_was_taken(executor, capsys):
    pytest.importorskip("tqdm")
    assert list(executor.map(square, range(30), progress=True)) == [n * n for n in range(30)]
    assert "30/30" in capsys.readouterr().err
    assert sorted(executor.map_unordered(square, iter(range(7)), progress=True)) == [n * n for n in range(7)]
    assert "7it" in capsys.readouterr().err
    assert list(executor.starmap(pow, [(2, 2)], progress=True)) == [4]
    assert "1/1" in capsys.readouterr().err


@ours
def test_a_bar_over_futures(executor, capsys):
    pytest.importorskip("tqdm")
    import forkful

    done = list(forkful.progress(executor.submit_many(square, range(9)), desc="squares"))
    assert sorted(future.result() for future in done) == [n * n for n in range(9)]
    shown = capsys.readouterr().err
    assert "9/9" in shown and "squares" in shown
