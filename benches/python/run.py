"""Measures forkful's thread pool beside the standard library's and pebble's: `python benches/python/run.py --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from measures import LINEAR, MEASURES, PGO, Measure, Medians
from subjects import SUBJECTS

WORK = Path(__file__).with_name("work.py")
WATCHDOG = 120
ROUNDS, QUICK_ROUNDS = 7, 3

# {subject: {metric: [one value per round]}}
Samples = dict[str, dict[str, list[float]]]


def main() -> int:
    options = parse()
    chosen = [m for m in MEASURES if not options.only or any(m.name.startswith(only) for only in options.only)]
    if not chosen:
        print("no such measure; there are: " + " ".join(m.name for m in MEASURES), file=sys.stderr)
        return 2
    subjects = [subject for subject in SUBJECTS if is_there(subject)]
    about = environment(options)
    print("\n".join(f"{key}: {value}" for key, value in about.items()), flush=True)

    samples: dict[str, Samples] = {}
    medians: dict[str, Medians] = {}
    for measure in chosen:
        samples[measure.name] = sample(measure, subjects, options)
        medians[measure.name] = {
            subject: {metric: statistics.median(values) for metric, values in metrics.items()}
            for subject, metrics in samples[measure.name].items()
        }
        show(measure, medians[measure.name], samples[measure.name])
    show_growth(medians)
    if options.json:
        options.json.write_text(json.dumps({"about": about, "samples": samples, "medians": medians}, indent=1))
    return int("forkful" in subjects and any("forkful" not in values for values in medians.values()))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="measures whose name begins so; repeatable")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, 3 rounds: does it run at all?")
    parser.add_argument("--rounds", type=int, help=f"rounds of each measure (default {ROUNDS}, quick {QUICK_ROUNDS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    options = parser.parse_args()
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


def is_there(subject: str) -> bool:
    if subject == "stdlib":
        return True
    try:
        version(subject)
    except PackageNotFoundError:
        print(f"SKIPPED: {subject} is not installed", file=sys.stderr)
        return False
    return True


def environment(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "python": f"{platform.python_version()}, {'PGO' if PGO else 'no PGO'}, {platform.python_compiler()}",
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs allowed, Linux {platform.release()}",
        "versions": ", ".join(f"{s} {version(s)}" for s in SUBJECTS if s != "stdlib" and is_there(s)),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "rounds": f"{options.rounds}{', quick: not for comparison' * options.quick}",
    }


def sample(measure: Measure, subjects: list[str], options: argparse.Namespace) -> Samples:
    """Run every subject once per round, each time in a new process; who begins changes from round to round."""
    chosen = [subject for subject in subjects if not measure.only or subject in measure.only]
    samples: Samples = {subject: {} for subject in chosen}
    for turn in range(options.rounds):
        first = turn % len(chosen) if chosen else 0
        # One that has hung or died would do so again, and has no numbers to show.
        for subject in [s for s in chosen[first:] + chosen[:first] if s in samples]:
            try:
                metrics = once(measure, subject, options.quick)
            except subprocess.SubprocessError as error:
                print(f"\nFAILED: {error}", file=sys.stderr)
                del samples[subject]
                continue
            for metric, value in metrics.items():
                samples[subject].setdefault(metric, []).append(value)
    return samples


def once(measure: Measure, subject: str, quick: bool) -> dict[str, float]:
    parameters = {**measure.parameters, **measure.only.get(subject, {})}
    if quick:
        for key in parameters.keys() & {"tasks", "seconds"}:
            parameters[key] = max(parameters[key] // 10, 1)
    done = subprocess.run(
        [sys.executable, str(WORK), measure.work, subject, json.dumps(parameters)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=WATCHDOG,
        check=True,
    )
    metrics: dict[str, float] = json.loads(done.stdout)
    return metrics


def show(measure: Measure, medians: Medians, samples: Samples) -> None:
    print(f"\n{measure.name}: {measure.title}")
    if "forkful" not in medians:
        print("  forkful: no result")
    targets = {target.metric: target for target in measure.targets}
    metrics = list(dict.fromkeys(metric for values in medians.values() for metric in values))
    for metric in metrics:
        for subject, values in medians.items():
            line = f"  {subject:8} {metric:13}{values[metric]:>14,.2f}"
            low, high = min(samples[subject][metric]), max(samples[subject][metric])
            line += f"   [{low:,.2f} .. {high:,.2f}]"
            theirs = medians.get("stdlib", {}).get(metric)
            if subject != "stdlib" and theirs:
                line += f"   {values[metric] / theirs:.3g} x stdlib's"
            if subject == "forkful" and metric in targets and "stdlib" in medians:
                reached = targets[metric].factor(medians)
                line += f"   target: {targets[metric].words}: {'met' if reached >= 1 else 'MISSED'}"
                line += f" ({reached:.2f})" if 0 < reached < 1e6 else ""
            print(line, flush=True)


def show_growth(medians: dict[str, Medians]) -> None:
    for small, large, metric in LINEAR:
        if small in medians and large in medians:
            both = [s for s in medians[large] if s in medians[small]]
            grown = {s: medians[large][s][metric] / medians[small][s][metric] for s in both}
            words = ", ".join(f"{subject} {growth:.2f}" for subject, growth in grown.items())
            print(f"\n{small} to {large}, growth of {metric} (1 is linear): {words}")


if __name__ == "__main__":
    sys.exit(main())
