"""Measures forkful's pools beside the standard library's and other packages': `python benches/python/run.py --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import auto_measures
import auto_subjects
import ipc_measures
import ipc_subjects
import large_measures
import measures
import process_measures
import process_subjects
import subjects
from measures import LINEAR, PGO, Measure, Medians

HERE = Path(__file__).parent
WATCHDOG = 120
ROUNDS, QUICK_ROUNDS = 7, 3

# {subject: {metric: [one value per round]}}
Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Family:
    """Pools of one kind: what runs the measures, who is measured, and what."""

    script: str
    subjects: Mapping[str, object]
    measures: tuple[Measure, ...]


FAMILIES = {
    "threads": Family("work.py", subjects.SUBJECTS, measures.MEASURES),
    "processes": Family("process_work.py", process_subjects.SUBJECTS, process_measures.MEASURES),
    "large": Family("large_work.py", process_subjects.SUBJECTS, large_measures.MEASURES),
    "auto": Family("auto_work.py", auto_subjects.SUBJECTS, auto_measures.MEASURES),
    "ipc": Family("ipc_work.py", ipc_subjects.SUBJECTS, ipc_measures.MEASURES),
}


def main() -> int:
    options = parse()
    families = [FAMILIES[name] for name in ([options.family] if options.family else FAMILIES)]
    chosen = [(m, family) for family in families for m in family.measures if wanted(m, options)]
    if not chosen:
        print("no such measure; there are: " + " ".join(m.name for f in families for m in f.measures), file=sys.stderr)
        return 2
    named = dict.fromkeys(subject for family in families for subject in family.subjects)
    there = [subject for subject in named if is_there(subject)]
    about = environment(there, options)
    print("\n".join(f"{key}: {value}" for key, value in about.items()), flush=True)

    samples: dict[str, Samples] = {}
    medians: dict[str, Medians] = {}
    for measure, family in chosen:
        if lacking := [name for name in measure.needs if not find_spec(name)]:
            print(f"SKIPPED: {measure.name} needs {' and '.join(lacking)}", file=sys.stderr)
            continue
        samples[measure.name] = sample(measure, family, there, options)
        medians[measure.name] = {
            subject: {metric: statistics.median(values) for metric, values in metrics.items()}
            for subject, metrics in samples[measure.name].items()
        }
        show(measure, medians[measure.name], samples[measure.name])
    show_growth(medians)
    if options.plot:
        draw(options.plot, medians)
    if options.json:
        options.json.write_text(json.dumps({"about": about, "samples": samples, "medians": medians}, indent=1))
    return int("forkful" in there and any("forkful" not in values for values in medians.values() if values))


def wanted(measure: Measure, options: argparse.Namespace) -> bool:
    return not options.only or any(measure.name.startswith(only) for only in options.only)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--family",
        choices=list(FAMILIES),
        help="threads, processes, processes with large data, communication, or the executor that chooses (default: all)",
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="measures whose name begins so; repeatable")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, 3 rounds: does it run at all?")
    parser.add_argument("--rounds", type=int, help=f"rounds of each measure (default {ROUNDS}, quick {QUICK_ROUNDS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw time against size there, .svg or .png; needs matplotlib"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


def package(subject: str) -> str | None:
    """The package that a subject comes from; None for the standard library's own."""
    name = subject.partition("-")[0]
    return {"stdlib": None, "dask": "distributed", "faster": "faster-fifo"}.get(name, name)


def is_there(subject: str) -> bool:
    name = package(subject)
    if name is None:
        return True
    try:
        version(name)
    except PackageNotFoundError:
        # From a checkout, where nobody has installed it.
        if find_spec(name):
            return True
        print(f"SKIPPED: {subject} is not installed", file=sys.stderr)
        return False
    return True


def versions(there: list[str]) -> Iterator[str]:
    for name in dict.fromkeys(package(subject) for subject in there):
        if name:
            try:
                yield f"{name} {version(name)}"
            except PackageNotFoundError:
                yield f"{name} (a checkout)"


def environment(there: list[str], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "python": f"{platform.python_version()}, {'PGO' if PGO else 'no PGO'}, {platform.python_compiler()}",
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs allowed, Linux {platform.release()}",
        "versions": ", ".join(versions(there)),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "rounds": f"{options.rounds}{', quick: not for comparison' * options.quick}",
    }


def sample(measure: Measure, family: Family, there: list[str], options: argparse.Namespace) -> Samples:
    """Run every subject once per round, each time in a new process; who begins changes from round to round."""
    chosen = [s for s in family.subjects if s in there and (not measure.only or s in measure.only)]
    samples: Samples = {subject: {} for subject in chosen}
    for turn in range(options.rounds):
        first = turn % len(chosen) if chosen else 0
        # One that has hung or died would do so again, and has no numbers to show.
        for subject in [s for s in chosen[first:] + chosen[:first] if s in samples]:
            try:
                metrics = once(measure, family, subject, options.quick)
            except subprocess.SubprocessError as error:
                print(f"\nFAILED: {error}", file=sys.stderr)
                del samples[subject]
                continue
            if lacks := metrics.pop("lacks", None):
                print(f"SKIPPED: {measure.name} of {subject}, which does not have {lacks}", file=sys.stderr)
                del samples[subject]
                continue
            for metric, value in metrics.items():
                samples[subject].setdefault(metric, []).append(value)
    return samples


def once(measure: Measure, family: Family, subject: str, quick: bool) -> dict[str, Any]:
    parameters = {**measure.parameters, **measure.only.get(subject, {})}
    if quick:
        for key in parameters.keys() & {"tasks", "seconds"}:
            parameters[key] = max(parameters[key] // 10, 1)
    # joblib leaves a copy of each large array where it would put them itself.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(prefix="joblib-", dir=memory, ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [sys.executable, str(HERE / family.script), measure.work, subject, json.dumps(parameters)],
            stdout=subprocess.PIPE,
            text=True,
            timeout=WATCHDOG,
            check=True,
            env={**os.environ, "JOBLIB_TEMP_FOLDER": folder},
        )
    # The last line is the figures'; before it stands what a pool may have printed.
    metrics: dict[str, Any] = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    return metrics


def show(measure: Measure, medians: Medians, samples: Samples) -> None:
    print(f"\n{measure.name}: {measure.title}")
    if "forkful" not in medians and medians:
        print("  forkful: no result")
    width = max(map(len, medians), default=0)
    metrics = list(dict.fromkeys(metric for values in medians.values() for metric in values))
    for metric in metrics:
        for subject, values in medians.items():
            if metric not in values:
                continue
            line = f"  {subject:{width}} {metric:13}{values[metric]:>14,.2f}"
            low, high = min(samples[subject][metric]), max(samples[subject][metric])
            line += f"   [{low:,.2f} .. {high:,.2f}]"
            theirs = medians.get("stdlib", {}).get(metric)
            if subject != "stdlib" and theirs:
                line += f"   {values[metric] / theirs:.3g} x stdlib's"
            for target in measure.targets:
                if (target.subject, target.metric) == (subject, metric) and all(s in medians for s in target.against):
                    reached = target.factor(medians)
                    line += f"   target: {target.words}: {'met' if reached >= 1 else 'MISSED'}"
                    line += f" ({reached:.2f})" if 0 < reached < 1e6 else ""
            print(line, flush=True)


def draw(path: Path, medians: dict[str, Medians]) -> None:
    try:
        import plot
    except ImportError as error:
        print(f"SKIPPED: the plot, as {error.name} is not installed", file=sys.stderr)
        return
    plot.draw(path, {name: medians[name] for name in plot.TITLES if medians.get(name)})


def show_growth(medians: dict[str, Medians]) -> None:
    for small, large, metric in LINEAR:
        if small in medians and large in medians:
            both = [s for s in medians[large] if s in medians[small]]
            grown = {s: medians[large][s][metric] / medians[small][s][metric] for s in both}
            words = ", ".join(f"{subject} {growth:.2f}" for subject, growth in grown.items())
            print(f"\n{small} to {large}, growth of {metric} (1 is linear): {words}")


if __name__ == "__main__":
    sys.exit(main())
