"""Tells the story in a minute: unchanged programs, then a job that waits and one that computes, and what `which` says of them.

    python examples/demo.py [quick]

With `quick` everything is small, which shows that it works and measures little.
"""

import multiprocessing
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fetch_pages
import word_counts
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forkful import ProcessPoolExecutor, ThreadPoolExecutor, advise

HERE = Path(__file__).resolve().parent
CHART = HERE.parent / "demo.png"
WAYS = {"python": [sys.executable], "forkful run": [sys.executable, "-m", "forkful", "run"]}
SUMS = ["sleeping_sums_threads.py", "sleeping_sums_processes.py"]

# The only thing in these programs' output that may differ between two runs, and the order in which sums arrive.
TIME = re.compile(r"\d+\.\d+ seconds")

# Lines as long as they are: where this is no terminal, rich would break them at 80.
console = Console(highlight=False, soft_wrap=True)


@dataclass
class Size:
    """How much of everything."""

    programs: int = len(SUMS)
    pages: int = 54
    files: int = 60
    rounds: int = 3
    budget: float = 6.0
    """Seconds that `advise` may take."""


FULL, QUICK = Size(), Size(programs=1, pages=9, files=4, rounds=1, budget=0.5)


@dataclass
class Job:
    """A function with its inputs, and what was found about it."""

    name: str
    function: Callable[[Any], Any]
    inputs: list[Any]
    times: dict[str, float] = field(default_factory=dict)
    """Seconds for all inputs, by each way."""
    same: bool = True
    choice: str = ""
    sentence: str = ""

    @property
    def fastest(self) -> str:
        return min(self.times, key=lambda way: self.times[way])


# Unchanged programs


def what_it_said(output: str) -> list[str]:
    return sorted(TIME.sub("… seconds", output).splitlines())


def run(command: list[str]) -> tuple[str, int]:
    """What a program prints, and its exit status. It ends with us, and so do its processes, which Ctrl-C would leave behind."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            output, _ = running.communicate()
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)
            raise
    return output, running.returncode


def unchanged(program: str) -> tuple[dict[str, float], bool]:
    """Runs a program each way; returns how long each took, and whether both said the same."""
    took, said = {}, []
    for way, command in WAYS.items():
        console.print(f"$ [bold]{way.replace('forkful run', 'python -m forkful run')} examples/{program}[/bold]")
        start = time.perf_counter()
        output, status = run([*command, str(HERE / program)])
        took[way] = time.perf_counter() - start
        said.append((what_it_said(output), status))
        console.print(escape(output))
    same = said[0] == said[1] and said[0][1] == 0
    if not same:
        console.print("[bold red]They did not say the same.[/bold red]\n")
    return took, same


# Jobs


def serve_pages(port_to):
    """The web site of fetch_pages.py, in a process of its own as a real one is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever has started it
    with fetch_pages.Site(("127.0.0.1", 0), fetch_pages.Page) as site:
        site.handle_error = lambda *_: None  # a client that Ctrl-C took away in the middle of a page
        port_to.send(site.server_port)
        site.serve_forever()


def start_site() -> tuple[multiprocessing.Process, str]:
    """The server, and the beginning of its addresses."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve_pages, args=(theirs,), daemon=True)
    server.start()
    theirs.close()
    return server, f"http://127.0.0.1:{ours.recv()}/"


def jobs(address: str, size: Size) -> list[Job]:
    existing = [number for number in range(size.pages * 2) if number % 10 != 9][: size.pages]
    return [
        Job(f"fetch {size.pages} pages", fetch_pages.fetch, [f"{address}{number}" for number in existing]),
        Job(f"count words in {size.files} files", word_counts.count_words, word_counts.sources()[: size.files]),
    ]


def measure(job: Job, rounds: int) -> None:
    """Runs the job one after the other, on threads and on processes, as each executor is without any argument."""
    results: list[list[Any]] = []
    times: dict[str, list[float]] = {}
    with ThreadPoolExecutor() as threads, ProcessPoolExecutor() as processes:
        for pool in (threads, processes):
            list(pool.map(time.sleep, [0.02] * 32))  # starts the workers
        # All ways in each round, so that a machine that is slow for a moment favours none.
        for _ in range(rounds):
            for way, run in (("serial", map), ("threads", threads.map), ("processes", processes.map)):
                start = time.perf_counter()
                results.append(list(run(job.function, job.inputs)))
                times.setdefault(way, []).append(time.perf_counter() - start)
    job.times = {way: statistics.median(each) for way, each in times.items()}
    job.same = all(result == results[0] for result in results)
    each = ", ".join(f"{way} {seconds:.2f} s" for way, seconds in job.times.items())
    console.print(f"{job.name}: {each}")
    if not job.same:
        console.print("[bold red]The results were not the same.[/bold red]")


def ask(job: Job, budget: float) -> None:
    """What `forkful which` would say of the job's function."""
    verdict = advise(
        job.function, [(each,) for each in job.inputs], budget=budget, progress=sys.stderr.isatty()
    ).verdict
    job.choice = verdict.choice if verdict.sure else f"{verdict.choice}, unsure"
    job.sentence = verdict.sentence
    console.print(f"which: {escape(job.sentence)}\n")


# The end of the story


def table(programs: dict[str, dict[str, float]], found: list[Job], width: int) -> Table:
    result = Table(title="In a minute", title_justify="left")
    result.add_column("")
    for column in ("serial", "threads", "processes"):
        result.add_column(column, justify="right", no_wrap=True)
    result.add_column("which says", min_width=len("processes,"))
    between = " " if width >= 80 else "\n"
    for way in WAYS:
        each = [f"{programs[name][way]:.2f} s" if name in programs else "" for name in SUMS]
        result.add_row(f"sleeping sums, {way}", "", *each, "")
    for job in found:
        cells = []
        for way, seconds in job.times.items():
            text = f"{seconds:.2f} s" + (f"{between}{job.times['serial'] / seconds:.1f} x" if way != "serial" else "")
            cells.append(f"[bold green]{text}[/bold green]" if way == job.fastest else text)
        result.add_row(job.name, *cells, job.choice)
    return result


def chart(programs: dict[str, dict[str, float]], found: list[Job], path: Path) -> None:
    """Draws the same as bars; ImportError where matplotlib is not installed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    axes = figure.subplots(1 + len(found), 1)
    bars = [
        (f"{name.removesuffix('.py').rpartition('_')[2]}, {way}", seconds)
        for name, each in programs.items()
        for way, seconds in each.items()
    ]
    panels = [("the sleeping sums, unchanged", bars, "")]
    panels += [(f"{job.name}; which says: {job.choice}", list(job.times.items()), job.fastest) for job in found]
    for axis, (title, rows, fastest) in zip(axes, panels, strict=True):
        names, seconds = [name for name, _ in rows], [each for _, each in rows]
        drawn = axis.barh(names, seconds, color=["C2" if name == fastest else "C0" for name in names])
        axis.bar_label(drawn, labels=[f" {each:.2f} s" for each in seconds])
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set_title(title, loc="left", fontsize="medium")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("seconds; the fastest in green")
    figure.savefig(path, dpi=120)


def main(size: Size = FULL, chart_path: Path = CHART) -> int:
    start = time.perf_counter()
    console.print(
        f"This program may use {len(os.sched_getaffinity(0))} CPUs. Each step says what it does; all take about a minute.\n"
    )

    console.rule("1. Programs for the standard library, unchanged", align="left")
    programs, same = {}, True
    for program in SUMS[: size.programs]:
        programs[program], alike = unchanged(program)
        same = same and alike

    console.rule("2. A job that waits, and a job that computes", align="left")
    server, address = start_site()
    try:
        found = jobs(address, size)
        for job in found:
            measure(job, size.rounds)
            ask(job, size.budget)
            same = same and job.same
    finally:
        server.terminate()
        server.join()

    console.rule("3. All of it", align="left")
    # Its own width: a table must not lose its last column where nobody can see how wide the screen is.
    wide = Console(highlight=False, width=None if console.is_terminal else 110)
    wide.print(table(programs, found, wide.width))
    for job in found:
        console.print(f"[bold]{job.name}[/bold]: {escape(job.sentence)}")
    try:
        chart(programs, found, chart_path)
        console.print(f"\nThe chart: {chart_path}")
    except ImportError:
        console.print("\nNo chart, as matplotlib is not installed: pip install 'forkful\\[plot]'")
    console.print(
        f"That took {time.perf_counter() - start:.0f} seconds. Ask about a function of yours: forkful which your_file.py:function"
    )
    return 0 if same else 1


if __name__ == "__main__":
    try:
        sys.exit(main(QUICK if "quick" in sys.argv[1:] else FULL))
    except KeyboardInterrupt:
        console.print("interrupted")
        sys.exit(130)
