"""What the probe has found of a function, as plain values.

Knows: nothing. Times are in seconds, sizes in bytes, rates in calls per second.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cost", "Measurements", "Scaling", "Spread"]


@dataclass(frozen=True)
class Spread:
    """How several measurements of one thing lie: their median, and where the middle half of them is."""

    median: float
    low: float
    """The lower quartile."""
    high: float
    """The upper quartile."""
    count: int
    """How many there were."""


@dataclass(frozen=True)
class Scaling:
    """The function run by so many workers at a time."""

    workers: int
    calls: int
    """Calls that were finished, in all repetitions."""
    rate: Spread
    """Calls per second, one value for each repetition."""
    delayed: float = 0.0
    """Of the time in which the workers could have run, the share in which other programs, or each other, had the CPUs."""


@dataclass(frozen=True)
class Cost:
    """What it takes to send a call's arguments, or its result, to another process."""

    size: int = 0
    """Bytes of the pickle and of the buffers beside it."""
    buffers: int = 0
    """Bytes of them that are large buffers, which travel through shared memory: arrays and the like."""
    seconds: float = 0.0
    """To pickle it and to unpickle it."""
    error: str | None = None
    """Why it can't be pickled; None where it can."""


@dataclass(frozen=True)
class Measurements:
    """All that the probe has found."""

    function: str
    """The function's name, as its module and it have it."""
    inputs: int
    """How many different inputs there were to call it with."""
    cpus: int
    """CPUs that this process may use."""
    gil: bool
    """Whether threads of this interpreter take turns."""
    once: bool
    """Whether no input might be used twice."""
    budget: float
    """Seconds that it might take."""
    spent: float
    """Seconds that it took."""
    first: float
    """Wall time of the first call, which may have set things up."""
    wall: Spread
    """Wall time of a call, one after the other, the first one left out where there are others."""
    cpu: float
    """CPU time of a call, of the thread that called it."""
    all_cpu: float
    """CPU time of a call, of all threads of the process: more than `cpu` where the function has threads of its own."""
    gil_share: float | None
    """The share of that time in which the interpreter's lock was held, 0 to 1; None where it was not sampled."""
    gil_margin: float
    """How far it may be off, at 95 %."""
    arguments: Cost
    result: Cost
    shareable: int = 0
    """Bytes of the arguments that are the same large objects in every call, so that `share()` sends them once."""
    threads: tuple[Scaling, ...] = ()
    processes: tuple[Scaling, ...] = ()
    shared: tuple[Scaling, ...] = ()
    """By processes, the objects of `shareable` placed once for all calls."""
    process_start: float = 0.0
    """From making a pool of processes to its first result, less a call's own time."""
    raised: str | None = None
    """What the function raised, where it raised; then there is nothing more to measure."""
    raised_by: int = 0
    """Which input it was, counted from 0."""
    lazy: str | None = None
    """"generator", "coroutine" or "async generator" where a call of the function returns at once and its work is done later."""
    refused: str | None = None
    """Why processes could not run it, where they could not."""
    notes: tuple[str, ...] = ()
    """What was odd about the measuring, in sentences."""
    traceback: str = ""
    """Of what it raised, without the frames of this package."""
    delayed: float = 0.0
    """Of `wall`, the part in which the call was ready to run while others had the CPU; 0 where the kernel doesn't say."""
    children_cpu: float = 0.0
    """CPU time of a call in child processes that it has started and waited for."""
    tasks: tuple[Scaling, ...] = ()
    """Of a coroutine function: by so many tasks of asyncio at a time, on one event loop."""
    changes_arguments: bool = False
    """Whether the first call has changed the arguments that it was given: processes would change copies of their own."""
    threads_refused: str | None = None
    """Why threads could not run it, where they could not."""
    others: float = 0.0
    """CPUs that other programs kept from this one meanwhile, on average; 0 where the kernel doesn't say."""
    endless: bool = False
    """Whether a generator still yielded when the budget was over; then there is nothing more to measure."""
    remembers: bool = False
    """Whether calls with an input that it has had before are much faster, or may be: of one input only, nobody can tell."""
    gil_cpu: float | None = None
    """While the lock was sampled, the share of the time in which the function computed; None where that is as in `cpu`."""
    gil_delayed: float = 0.0
    """The share of that time in which it was ready to run while others had the CPU."""

    @property
    def judged(self) -> bool:
        """Whether there is anything to judge."""
        return self.raised is None and not self.endless
