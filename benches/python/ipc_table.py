"""Prints the tables of docs/ipc.md from the samples of a run: `python benches/python/ipc_table.py samples.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

PLACES = (("any", "every CPU allowed"), ("apart", "on a CPU each"), ("one-cpu", "both on one"))

# (unit, heading of the first column, [(measure, words)]); times are better when they are small, rates when they are large.
TABLES: tuple[tuple[str, str, list[tuple[str, str]]], ...] = (
    (
        "p50 us",
        "microseconds, there and back",
        [
            *((f"ipc-pipe-{cpus}", f"a number through a `Pipe`, {words}") for cpus, words in PLACES),
            ("ipc-pipe-4KB", "4 KB through a `Pipe`"),
            ("ipc-pipe-64KB", "64 KB through a `Pipe`"),
            *(
                (f"ipc-{what}-processes-{cpus}", f"`{what.capitalize()}` of processes, {words}")
                for what in ("event", "condition", "semaphore")
                for cpus, words in PLACES
            ),
            *(
                (f"ipc-{what}-threads-any", f"`{what.capitalize()}` of threads")
                for what in ("event", "condition", "semaphore")
            ),
        ],
    ),
    ("ns", "nanoseconds", [("ipc-lock", "`Lock` of processes, taken and given back, wanted by nobody else")]),
    (
        "k/s",
        "thousand messages per second",
        [
            ("ipc-queue-int", "numbers through a `Queue`, one gives, one takes"),
            ("ipc-queue-int-2", "the same, two and two"),
            ("ipc-queue-4KB", "bytes of 4 KB, one and one"),
            ("ipc-thread-queue", "numbers through a `queue.Queue` between two threads"),
            ("ipc-thread-queue-bounded", "the same with `maxsize` 100"),
        ],
    ),
    (
        "GB/s",
        "GB per second",
        [
            ("ipc-stream-1MB", "messages of 1 MB through a `Pipe`"),
            ("ipc-stream-1MB-one-way", "the same, one-way"),
            ("ipc-stream-100MB", "messages of 100 MB through a `Pipe`"),
            ("ipc-stream-100MB-one-way", "the same, one-way"),
        ],
    ),
    (
        "k items/s",
        "thousand small items per second, two workers",
        [
            ("ipc-pool-map", "`Pool.map`"),
            ("ipc-pool-imap-unordered", "`Pool.imap_unordered`"),
            ("ipc-pool-apply-async", "`Pool.apply_async`"),
            ("ipc-pool-map-threads", "`ThreadPool.map`"),
            ("ipc-pool-imap-unordered-threads", "`ThreadPool.imap_unordered`"),
        ],
    ),
    (
        "p50 us",
        "microseconds, to make one and use it once",
        [
            ("ipc-setup-queue", "`Queue`"),
            ("ipc-setup-pipe", "`Pipe`"),
            ("ipc-setup-lock", "`Lock`"),
            ("ipc-setup-memory", "`SharedMemory` of one page"),
            ("ipc-setup-process", "`Process`, by fork, from its start to its end"),
        ],
    ),
)


def main() -> None:
    medians = json.loads(Path(sys.argv[1]).read_text())["medians"]
    for unit, heading, rows in TABLES:
        lines = [f"| {heading} (measure) | standard library | forkful | times as fast |", "|---|---|---|---|"]
        for measure, words in rows:
            found = medians.get(measure, {})
            if not {"stdlib", "forkful"} <= found.keys():
                continue
            theirs, ours = (found[subject][unit] for subject in ("stdlib", "forkful"))
            times = theirs / ours if unit in ("p50 us", "ns") else ours / theirs
            lines.append(f"| {words} (`{measure}`) | {figure(theirs)} | {figure(ours)} | {figure(times, 2)} |")
        if len(lines) > 2:
            print("\n".join(lines), end="\n\n")


def figure(value: float, digits: int = 3) -> str:
    """So many digits that mean something, and no exponent."""
    shown = float(f"{value:.{digits}g}")
    return f"{shown:,.0f}" if shown >= 10 ** (digits - 1) else f"{shown:g}"


if __name__ == "__main__":
    main()
