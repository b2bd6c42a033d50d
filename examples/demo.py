"""Runs the other examples as they are, under python and under forkful, and shows what each took here and now."""

import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
WAYS = {"python": [sys.executable], "forkful": [sys.executable, "-m", "forkful", "run"]}
EXAMPLES = [
    "sleeping_sums_threads.py",
    "sleeping_sums_processes.py",
    "fetch_pages.py",
    "word_counts.py",
    "night_sky.py",
]
NEEDS = {"night_sky.py": "numpy"}

# The only thing in the examples' output that may differ between two runs, and the order in which sums arrive.
TIME = re.compile(r"\d+\.\d+ seconds")
# What an example says of its parts that do the same work.
PART = re.compile(r"^(one after the other|\d+ (?:threads|processes)): (\d+\.\d+ s)econds", re.MULTILINE)


def what_it_said(output: str) -> list[str]:
    return sorted(TIME.sub("… seconds", output).splitlines())


def main() -> int:
    rows, parts = [], []
    for example in EXAMPLES:
        if example in NEEDS and not find_spec(NEEDS[example]):
            print(f"{example} is skipped, as {NEEDS[example]} is not installed.\n")
            continue
        said, took, seconds = [], [], []
        for way, command in WAYS.items():
            print(f"$ {way.replace('forkful', 'python -m forkful run')} {example}", flush=True)
            start = time.perf_counter()
            done = subprocess.run([*command, str(HERE / example)], stdout=subprocess.PIPE, text=True)
            took.append(time.perf_counter() - start)
            seconds.append(dict(PART.findall(done.stdout)))
            said.append((what_it_said(done.stdout), done.returncode))
            print(done.stdout)
        same = said[0] == said[1] and said[0][1] == 0
        rows.append((example, *(f"{each:.2f} s" for each in took), "same" if same else "DIFFERENT"))
        for part in seconds[0].keys() & seconds[1].keys() - {"one after the other"}:
            parts.append((f"{example}, {part}", *(way[part] for way in seconds), seconds[1]["one after the other"]))

    print(f"{'whole program, start to end':30}{'python':>10}{'forkful':>10}   output")
    for example, python, forkful, same in rows:
        print(f"{example:30}{python:>10}{forkful:>10}   {same}")
    print(f"\n{'the same work in a pool':30}{'python':>10}{'forkful':>10}   one after the other")
    for part, python, forkful, serial in sorted(parts):
        print(f"{part:30}{python:>10}{forkful:>10}{serial:>22}")
    print(
        "\nNearly all of it is the tasks' own time, waited or computed, so both take the same, but for night_sky.py,\n"
        "whose stages hand large arrays on; `make bench` measures the pools."
    )
    return any(row[-1] != "same" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
