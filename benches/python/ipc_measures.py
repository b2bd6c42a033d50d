"""The list of measures of communication between processes and threads, each with the target that it is held against."""

from __future__ import annotations

from typing import Any

from measures import Measure, Target

QUEUES = ("stdlib", "stdlib-simple", "forkful", "faster-fifo")
BOTH: dict[str, dict[str, Any]] = {"stdlib": {}, "forkful": {}}
PLACES = {"any": "every CPU allowed", "apart": "on a CPU each", "one-cpu": "all on one CPU"}


def _rate(metric: str, times: float, against: str = "stdlib") -> Target:
    whose = "stdlib's" if against == "stdlib" else f"{against}'s"
    return Target(
        metric,
        f"{times:g} x {whose}",
        lambda m: m["forkful"][metric] / m[against][metric] / times,
        against=(against,),
    )


def _part(metric: str, parts: float) -> Target:
    words = f"1/{parts:g} of stdlib's" if parts > 1 else "no slower than stdlib's"
    return Target(metric, words, lambda m: m["stdlib"][metric] / m["forkful"][metric] / parts)


def _most(metric: str, value: float) -> Target:
    return Target(metric, f"at most {value:g}", lambda m: value / m["forkful"][metric], against=())


def _least(metric: str, value: float, words: str) -> Target:
    return Target(metric, words, lambda m: m["forkful"][metric] / value, against=())


def _queue(name: str, title: str, times: float, parameters: dict[str, Any]) -> Measure:
    targets = tuple(_rate("k/s", times, whose) for whose in QUEUES if whose != "forkful")
    return Measure(f"ipc-queue-{name}", title, "queue", parameters, targets, {subject: {} for subject in QUEUES})


def _ping_pong(what: str, between: str, cpus: str, words: str, parts: float) -> Measure:
    return Measure(
        f"ipc-{what}-{between}-{cpus}",
        f"{what.capitalize()} of {between}, there and back, {words}",
        "ping_pong",
        {"what": what, "between": between, "cpus": cpus, "tasks": 20_000},
        (_part("p50 us", parts),),
        BOTH,
    )


MEASURES = (
    _queue(
        "int",
        "numbers through a Queue without a bound, one producer, one consumer",
        5,
        {"tasks": 100_000, "producers": 1, "consumers": 1},
    ),
    _queue("int-2", "the same, two producers, two consumers", 3, {"tasks": 100_000, "producers": 2, "consumers": 2}),
    _queue(
        "4KB",
        "bytes of 4 KB, one producer, one consumer",
        4,
        {"tasks": 50_000, "producers": 1, "consumers": 1, "payload": 4096},
    ),
    Measure(
        "ipc-queue-bounds",
        "numbers through a Queue without a bound, and through one of 1000 messages",
        "bounds",
        {"tasks": 100_000, "maxsize": 1000},
        (_least("unbounded/bounded", 2 / 3, "unbounded at least 2/3 of bounded"), _rate("k/s bounded", 5)),
        BOTH,
    ),
    *(
        _ping_pong(what, "processes", cpus, words, 2 if cpus == "one-cpu" else 8)
        for what in ("event", "condition", "semaphore")
        for cpus, words in PLACES.items()
    ),
    *(_ping_pong(what, "threads", "any", "every CPU allowed", 2) for what in ("event", "condition", "semaphore")),
    Measure(
        "ipc-lock",
        "acquire and release of a Lock of processes that nobody else wants",
        "lock",
        {"tasks": 200_000},
        (_most("times threading.Lock's", 2),),
        BOTH,
    ),
    *(
        Measure(
            f"ipc-pipe-{cpus}",
            f"a number through a Pipe, there and back, {words}",
            "pipe",
            {"tasks": 20_000, "cpus": cpus},
            (_part("p50 us", 1),),
            BOTH,
        )
        for cpus, words in PLACES.items()
    ),
    *(
        Measure(
            f"ipc-pipe-{payload >> 10}KB",
            f"{payload >> 10} KB through a Pipe, there and back",
            "pipe",
            {"tasks": 2_000, "cpus": "any", "payload": payload},
            (_part("p50 us", 1),),
            BOTH,
        )
        for payload in (4 << 10, 64 << 10, 1 << 20)
    ),
    *(
        Measure(
            f"ipc-stream-{bytes >> 20}MB{'' if duplex else '-one-way'}",
            f"messages of {bytes >> 20} MB through a {'Pipe' if duplex else 'one-way Pipe'}",
            "stream",
            {"tasks": tasks, "bytes": bytes, "duplex": duplex},
            (_rate("GB/s", 1),),
            BOTH,
        )
        for bytes, tasks in ((1 << 20, 200), (100 << 20, 10))
        for duplex in (True, False)
    ),
    *(
        Measure(
            f"ipc-pool-{how.replace('_', '-')}{'-threads' if kind == 'threads' else ''}",
            f"{how} of a {'Pool' if kind == 'processes' else 'ThreadPool'} of 2 over small items",
            "pool",
            {"how": how, "kind": kind, "tasks": tasks, "workers": 2},
            (_rate("k items/s", times),),
            BOTH,
        )
        for how, kind, tasks, times in (
            ("map", "processes", 200_000, 3),
            ("imap_unordered", "processes", 20_000, 3),
            ("apply_async", "processes", 10_000, 1),
            ("map", "threads", 200_000, 1),
            ("imap_unordered", "threads", 20_000, 1),
        )
    ),
    *(
        Measure(
            f"ipc-thread-queue{'-bounded' if maxsize else ''}",
            f"numbers through a queue.Queue{f' of {maxsize}' if maxsize else ''} between two threads",
            "thread_queue",
            {"tasks": 100_000, "maxsize": maxsize},
            (_rate("k/s", 3),),
            BOTH,
        )
        for maxsize in (0, 100)
    ),
    *(
        Measure(
            f"ipc-setup-{what}",
            f"making {words} and using it once",
            "setup",
            {"what": what, "tasks": tasks},
            (),
            BOTH,
        )
        for what, words, tasks in (
            ("queue", "a Queue", 500),
            ("pipe", "a Pipe", 5_000),
            ("lock", "a Lock", 5_000),
            ("memory", "a SharedMemory of one page", 1_000),
            ("process", "a Process, by fork,", 200),
        )
    ),
    *(
        Measure(
            f"ipc-bare-{way}",
            f"{words}, in plain Python",
            "bare",
            {"way": way, "tasks": 5_000},
            (),
            {"stdlib": {}},
        )
        for way, words in (
            ("socket", "64 bytes through a socket pair, there and back"),
            ("signal", "a signal and one back"),
            ("memory", "1 MB in and out of an anonymous memory map"),
        )
    ),
)
