"""Runs the other examples as they are, under python and under forkful, and shows what each took here and now."""

import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WAYS = {"python": [sys.executable], "forkful": [sys.executable, "-m", "forkful", "run"]}
EXAMPLES = ["sleeping_sums_threads.py", "sleeping_sums_processes.py", "fetch_pages.py", "word_counts.py"]

# The only thing in the examples' output that may differ between two runs, and the order in which sums arrive.
TIME = re.compile(r"\d+\.\d+ seconds")


def what_it_said(output: str) -> list[str]:
    return sorted(TIME.sub("… seconds", output).splitlines())


def main() -> int:
    rows = []
    for example in EXAMPLES:
        said, took = [], []
        for way, command in WAYS.items():
            print(f"$ {way.replace('forkful', 'python -m forkful run')} {example}", flush=True)
            start = time.perf_counter()
            done = subprocess.run([*command, str(HERE / example)], stdout=subprocess.PIPE, text=True)
            took.append(time.perf_counter() - start)
            said.append((what_it_said(done.stdout), done.returncode))
            print(done.stdout)
        same = said[0] == said[1] and said[0][1] == 0
        rows.append((example, *(f"{seconds:.2f} s" for seconds in took), "same" if same else "DIFFERENT"))

    print(f"{'whole program, start to end':30}{'python':>10}{'forkful':>10}   output")
    for example, python, forkful, same in rows:
        print(f"{example:30}{python:>10}{forkful:>10}   {same}")
    print(
        "Nearly all of it is the tasks' own time, waited or computed, so both take the same; `make bench` measures the pools."
    )
    return any(row[-1] != "same" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
