"""What is measured of executors for tasks that belong in different places; as in work.py, in a process of its own.

python auto_work.py FUNCTION SUBJECT '{"parameter": value}'     prints {"metric": value} and ends
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import auto_tasks
from auto_subjects import SUBJECTS

Metrics = dict[str, float]


def mixed(subject: Callable[[], Any], mix: list[str], tasks: int) -> Metrics:
    """All tasks submitted one after the other, kinds in turn, and waited for.

    First on a new executor, learning and starts included; then three times more on the same one.
    """
    kinds = dict.fromkeys(mix)
    arguments = {kind: iter(auto_tasks.arguments(kind, 4 * tasks)) for kind in kinds}
    functions = {kind: getattr(auto_tasks, kind) for kind in kinds}
    # What is imported for the first executor is nobody's to answer for.
    with subject():
        pass
    executor = subject()
    times = []
    for _ in range(4):
        calls = [(functions[mix[turn % len(mix)]], next(arguments[mix[turn % len(mix)]])) for turn in range(tasks)]
        begun = time.perf_counter()
        for future in [executor.submit(function, argument) for function, argument in calls]:
            future.result()
        times.append((time.perf_counter() - begun) * 1e3)
    executor.shutdown()
    return {"ms first": times[0], "ms": sorted(times[1:])[1]}


WORK = {"mixed": mixed}


def main() -> None:
    function, subject, parameters = sys.argv[1:]
    print(json.dumps(WORK[function](SUBJECTS[subject], **json.loads(parameters))))


if __name__ == "__main__":
    main()
