"""contextvars in tasks: as the standard library has it, or with propagate_context=True the submitter's."""

import asyncio
import contextvars
import sys

import pytest
from subject import REFERENCE

beyond = pytest.mark.skipif(REFERENCE, reason="beyond the standard library")
variable = contextvars.ContextVar("variable", default="default")


@pytest.fixture
def value():
    """The variable has a value of its own in this test's context."""
    token = variable.set("submitter")
    yield "submitter"
    variable.reset(token)


@pytest.mark.skipif(
    getattr(sys.flags, "thread_inherit_context", False), reason="here every new thread takes its maker's context"
)
def test_tasks_do_not_see_the_submitters_context_by_default(make, value):
    assert make(1).submit(variable.get).result() == "default"


@beyond
def test_tasks_see_the_submitters_context_when_asked(make, value):
    executor = make(1, propagate_context=True)
    assert executor.submit(variable.get).result() == "submitter"


@beyond
def test_each_task_sees_the_context_of_its_own_submit(make):
    executor, submitted = make(2, propagate_context=True), []
    for number in range(50):
        token = variable.set(number)
        submitted.append(executor.submit(variable.get))
        variable.reset(token)
    assert [future.result() for future in submitted] == list(range(50))


@beyond
def test_the_context_is_the_one_at_submit_not_at_the_start(make, gate, value):
    executor = make(1, propagate_context=True)
    executor.submit(gate.wait)
    future = executor.submit(variable.get)
    token = variable.set("changed meanwhile")
    gate.set()
    assert future.result() == "submitter"
    variable.reset(token)


@beyond
def test_changes_in_a_task_stay_there(make, value):
    executor = make(1, propagate_context=True)
    executor.submit(variable.set, "task").result()
    assert variable.get() == "submitter"
    assert executor.submit(variable.get).result() == "submitter"


@beyond
def test_map_and_views_propagate_too(make, value):
    executor = make(2, propagate_context=True)
    assert list(executor.map(lambda _: variable.get(), range(3))) == ["submitter"] * 3
    assert executor.with_options(priority=1).submit(variable.get).result() == "submitter"
    assert list(executor.map(lambda _: variable.get(), range(3), buffersize=1)) == ["submitter"] * 3


@beyond
def test_nested_tasks_see_what_their_parent_sees(make, value):
    executor = make(1, propagate_context=True)

    def parent():
        variable.set("parent")
        child = executor.submit(lambda: (variable.get(), variable.set("child")))
        return child.result()[0], variable.get()

    assert executor.submit(parent).result() == ("parent", "parent")
    assert variable.get() == "submitter"


@beyond
def test_run_in_executor_propagates(make):
    async def main():
        variable.set("loop")
        executor = make(1, propagate_context=True)
        return await asyncio.get_running_loop().run_in_executor(executor, variable.get)

    assert asyncio.run(main()) == "loop"


@beyond
def test_one_context_may_be_used_by_many_tasks_at_once(make, gate, value):
    # A context cannot be entered twice at a time: each task needs a copy.
    executor = make(4, propagate_context=True)
    submitted = [executor.submit(lambda: (gate.wait(), variable.get())[1]) for _ in range(4)]
    gate.set()
    assert [future.result() for future in submitted] == ["submitter"] * 4


@beyond
def test_every_attempt_of_a_retried_task_sees_the_context(make, value):
    seen = []

    def note():
        seen.append(variable.get())
        raise ValueError

    make(1, propagate_context=True).with_options(retries=2).submit(note).exception()
    assert seen == ["submitter"] * 3
