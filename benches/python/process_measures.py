"""The list of measures of process pools, each with the target that it is held against."""

from __future__ import annotations

from typing import Any

from measures import Measure, Target

STANDARD = ("stdlib", "stdlib-forkserver")
OURS = ("forkful", "forkful-zygote")
SMALL = ("loky", "pebble", "joblib", "mpire")
# Slow to start, and meant for larger tasks on more machines: they get fewer tasks.
LARGE = ("dask", "ray")

PLACES = {"any": "every CPU allowed", "one-cpu": "all on one CPU", "apart": "parent and worker on a CPU each"}
FASTER = {"any": 10, "one-cpu": 8, "apart": 15}


def _faster(metric: str, times: float) -> Target:
    return Target(metric, f"1/{times:g} of stdlib's", lambda m: m["stdlib"][metric] / m["forkful"][metric] / times)


def _rate(metric: str, times: float) -> Target:
    return Target(metric, f"{times:g} x stdlib's", lambda m: m["forkful"][metric] / m["stdlib"][metric] / times)


def _least(metric: str, value: float) -> Target:
    return Target(metric, f"at least {value:g}", lambda m: m["forkful"][metric] / value, against=())


def _most(metric: str, value: float, subject: str = "forkful") -> Target:
    words = f"at most {value:g}"
    return Target(metric, words, lambda m: value / max(m[subject][metric], 1e-9), subject, ())


def _fewer(tasks: int, small: int, large: int | None = None, *, joblib: bool = True) -> dict[str, dict[str, Any]]:
    """How many tasks each subject gets: a rate does not need more. With one worker, joblib would run them in the parent."""
    return {
        **{subject: {"tasks": tasks} for subject in ("stdlib", "forkful", "forkful-zygote")},
        **{subject: {"tasks": small} for subject in SMALL if joblib or subject != "joblib"},
        **{subject: {"tasks": large} for subject in LARGE if large},
    }


MEASURES = (
    *(
        Measure(
            f"process-latency-{place}",
            f"submit().result(), hot, 1 worker, {words}",
            "latency",
            {"place": place, "workers": 1},
            (_faster("p50 us", FASTER[place]),),
            _fewer(20_000, 5_000, 1_000, joblib=False)
            if place == "any"
            else {subject: {"tasks": 10_000} for subject in (*STANDARD, *OURS, "loky", "pebble")},
        )
        for place, words in PLACES.items()
    ),
    *(
        Measure(
            f"process-payload-{place}",
            f"64 KB there and back, hot, 1 worker, {words}",
            "latency",
            {"place": place, "workers": 1, "payload": 65536},
            (_faster("p50 us", 3),),
            {subject: {"tasks": 4_000} for subject in ("stdlib", "forkful", "loky", "pebble")},
        )
        for place, words in PLACES.items()
    ),
    *(
        Measure(
            f"process-throughput-{workers}",
            f"50,000 small tasks, waiting for all, {workers} worker{'s' * (workers > 1)}",
            "throughput",
            {"workers": workers},
            # 40 times, and 50 where the function is sent once to each worker, as forkful does with all that have a name.
            (_rate("tasks/s", 50),),
            _fewer(50_000, 10_000, 2_000 if workers > 1 else None, joblib=workers > 1),
        )
        for workers in (1, 2)
    ),
    Measure(
        "process-throughput-carried",
        "50,000 small tasks whose function is a partial, which travels with each of them, 1 worker",
        "throughput",
        {"workers": 1, "carried": True},
        (),
        {
            "stdlib": {"tasks": 50_000},
            "forkful": {"tasks": 50_000},
            "loky": {"tasks": 10_000},
            "pebble": {"tasks": 10_000},
        },
    ),
    *(
        Measure(
            f"process-map-{workers}",
            f"the sum of a map over a million tiny items, {workers} worker{'s' * (workers > 1)}; in chunks as each finds them, "
            "those of stdlib and loky as suits them best",
            "mapped",
            {"workers": workers},
            (
                _rate("k items/s", 3.5),
                Target(
                    "ns/item",
                    "multiprocessing.Pool's / 1.7",
                    lambda m: m["multiprocessing"]["ns/item"] / m["forkful"]["ns/item"] / 1.7,
                    against=("multiprocessing",),
                ),
                _most("times the builtin's", 2),
            ),
            {
                **{s: {"tasks": 1_000_000} for s in ("stdlib", "multiprocessing", "forkful", "forkful-zygote", "loky")},
                "mpire": {"tasks": 200_000},
                **({"joblib": {"tasks": 50_000}} if workers > 1 else {}),
            },
        )
        for workers in (1, 2)
    ),
    *(
        Measure(
            f"process-map-lazy-{buffersize}",
            f"the same read lazily, with buffersize={buffersize}, 2 workers; by stdlib one by one, as its map does since 3.14",
            "lazily",
            {"workers": 2, "buffersize": buffersize},
            (_rate("k items/s", 20),),
            {"stdlib": {"tasks": 20_000}, **{subject: {"tasks": 100_000} for subject in OURS}},
        )
        for buffersize in (100, 10_000)
    ),
    Measure(
        "process-useful",
        "tasks of 20 us on 2 workers: how many cores do the tasks' own work",
        "useful",
        {"workers": 2, "each": 20e-6},
        (_least("useful cores", 1.2),),
        _fewer(50_000, 10_000),
    ),
    Measure(
        "process-beside-a-long-one",
        "8 short tasks while one of 2 workers has a task of 2 s: the slowest round",
        "beside",
        {"workers": 2, "long": 2, "tasks": 300},
        (),
        {subject: {} for subject in ("stdlib", "forkful", "loky", "pebble", "mpire")},
    ),
    Measure(
        "process-first",
        "a fresh executor's first result, then a second executor's",
        "first",
        {"workers": 2, "preload": []},
        (
            Target("first ms", "stdlib's and 2", lambda m: (m["stdlib"]["first ms"] + 2) / m["forkful"]["first ms"]),
            Target(
                "first ms",
                "2/3 of stdlib-forkserver's",
                lambda m: m["stdlib-forkserver"]["first ms"] * 2 / 3 / m["forkful-zygote"]["first ms"],
                "forkful-zygote",
                ("stdlib-forkserver",),
            ),
        ),
        {subject: {} for subject in (*STANDARD, *OURS, *SMALL, *LARGE)},
    ),
    Measure(
        "process-first-numpy",
        "the same with numpy imported, and preloaded where that can be asked for",
        "first",
        {"workers": 2, "preload": ["numpy"]},
        (_most("second ms", 3), _most("second ms", 3, "forkful-zygote")),
        {subject: {} for subject in (*STANDARD, *OURS, "pebble")},
    ),
    Measure(
        "process-idle",
        "wake-ups of an idle pool, its processes included, 4 workers, 5 s",
        "idle",
        {"seconds": 5, "workers": 4},
        (
            Target("wake-ups/s", "none", lambda m: float(m["forkful"]["wake-ups/s"] == 0), against=()),
            Target("wake-ups/s", "none", lambda m: float(m["forkful-zygote"]["wake-ups/s"] == 0), "forkful-zygote", ()),
        ),
    ),
    Measure(
        "process-pending",
        "a submit while 2 workers are busy, and the memory of a million of them",
        "pending",
        {"workers": 2},
        (_most("MB/million", 300),),
        {
            "stdlib": {"tasks": 200_000},
            "forkful": {"tasks": 1_000_000},
            "loky": {"tasks": 50_000},
            "pebble": {"tasks": 50_000},
            "mpire": {"tasks": 50_000},
        },
    ),
)
