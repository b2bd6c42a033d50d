"""What the facts mean: a finding for each, with a way out where something is missing.

Knows: values. Does not know: where they come from, and so it can be tested with those of machines that nobody has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from forkful.diagnosis.facts import Bound, Facts

Level = Literal["ok", "note", "warning", "missing"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "missing")
"""ok: as it should be. note: worth knowing. warning: works, but worse than it could. missing: something will fail."""

METHODS = ("fork", "forkserver", "zygote", "spawn")
CRASHES = ("replace", "break")
KERNEL = (5, 4)
"""The oldest Linux that pools of processes run on."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    level: Level
    area: str
    says: str
    hint: str = ""
    """What can be done; not empty for a warning, nor for what is missing."""


def examine(facts: Facts) -> list[Finding]:
    """All findings, in the order of the report."""
    return [finding for judge in _JUDGES for finding in judge(facts)]


def _versions(f: Facts) -> Iterator[Finding]:
    if f.engine_error is not None:
        yield Finding(
            "missing",
            "versions",
            f"the engine can't be loaded: {f.engine_error}",
            f"install a wheel for this interpreter, {f.implementation} {f.python} on {f.machine}: "
            "pip install --force-reinstall forkful",
        )
    elif f.optimised is False:
        yield Finding(
            "warning",
            "versions",
            f"forkful {f.forkful}, an engine with debug assertions: many times slower",
            "install a release: pip install forkful, or maturin develop --release in a checkout",
        )
    else:
        yield Finding("ok", "versions", f"forkful {f.forkful}, its engine loaded, optimised")
    lock = "threads compute in turns (GIL)" if f.gil else "free-threaded: threads compute at the same time"
    yield Finding("ok", "versions", f"{f.implementation} {f.python}, {lock}")
    where = f"{f.system} {f.kernel}, {f.machine}, {f.libc}"
    number = _kernel_number(f.kernel)
    if f.system != "Linux" or (number and number < KERNEL):
        yield Finding(
            "missing",
            "versions",
            where,
            "pools of processes need Linux 5.4 or newer; the thread pool works, and concurrent.futures has processes",
        )
    else:
        yield Finding("ok", "versions", where)
    if f.container:
        yield Finding(
            "note", "versions", f"a container ({f.container}): its limits below may be tighter than the machine's"
        )


def _kernel_number(release: str) -> tuple[int, int] | None:
    first, _, rest = release.partition(".")
    second = rest.split(".")[0].split("-")[0]
    return (int(first), int(second)) if first.isdigit() and second.isdigit() else None


def _cpus(f: Facts) -> Iterator[Finding]:
    quota = "no quota" if f.cpus_quota is None else f"a quota of {f.cpus_quota:g}"
    found = f"{f.cpus_machine} in the machine, {f.cpus_allowed} allowed by affinity, {quota}"
    planned = f.cpus_planned
    if planned is None:
        yield Finding("note", "cpus", found)
        return
    says = f"{found}: forkful plans with {planned}"
    if planned == 1:
        yield Finding(
            "warning",
            "cpus",
            says,
            "one CPU computes one thing at a time: pools only overlap waits here. " + _more_cpus(f, "Ask for more: "),
        )
    elif planned < f.cpus_machine:
        yield Finding(
            "note",
            "cpus",
            says,
            f"pools of os.cpu_count() workers would be {f.cpus_machine}, too many; leave max_workers out. "
            + _more_cpus(f, "For more: "),
        )
    else:
        yield Finding("ok", "cpus", says)
    if f.cpus_quota is not None and f.cpus_quota < 1:
        yield Finding(
            "warning",
            "cpus",
            f"the quota of {f.cpus_quota:g} CPUs stops all threads for a part of each period",
            "even one worker waits for it; raise the container's CPU limit to 1 or more",
        )


def _more_cpus(f: Facts, words: str) -> str:
    if f.cpus_quota is not None and f.cpus_quota < f.cpus_allowed:
        return words + "docker run --cpus, or the CPU limit of the pod"
    if f.cpus_allowed < f.cpus_machine:
        return words + "taskset, docker run --cpuset-cpus, or the batch system's options"
    return words + "a larger machine"


def _memory(f: Facts) -> Iterator[Finding]:
    if f.memory_total is not None and f.memory_available is not None:
        says = f"{_size(f.memory_total)}, {_size(f.memory_available)} of it free"
        if f.memory_available < 500_000_000:
            yield Finding("warning", "memory", says, "each worker takes some; end other programs, or use fewer workers")
        else:
            yield Finding("ok", "memory", says)
    if f.memory_limit is None:
        yield Finding("ok", "memory", "no limit by cgroups")
    else:
        used = f.memory_used or 0
        says = f"cgroup limit {_size(f.memory_limit)}, {_size(used)} of it used"
        if f.memory_limit - used < 250_000_000:
            yield Finding(
                "warning",
                "memory",
                says,
                "workers that need more are killed, as WorkerDied will say; raise it (docker run --memory), or use fewer workers",
            )
        else:
            yield Finding("note", "memory", says, "shared memory is kept below half of it")
    if f.shm_size is None:
        yield Finding(
            "note",
            "memory",
            "no /dev/shm: forkful's pools don't use it",
            "SharedMemory with a name and other libraries do; mount a tmpfs there for them",
        )
    elif f.shm_size < 512_000_000:
        yield Finding(
            "note",
            "memory",
            f"/dev/shm has {_size(f.shm_size)}: forkful's pools don't use it",
            "SharedMemory with a name and other libraries do; docker run --shm-size makes it larger for them",
        )
    else:
        yield Finding("ok", "memory", f"/dev/shm has {_size(f.shm_size)}; forkful's pools don't use it")


def _limits(f: Facts) -> Iterator[Finding]:
    workers = f.cpus_planned or f.cpus_allowed
    soft, hard = f.descriptors
    # A pool of two takes about 21, beside what the program has open; a worker more about 4.
    needed = 32 + 4 * workers + (f.descriptors_open or 0)
    if soft is not None and soft < needed:
        if hard is None or hard > soft:
            way_out = f"raise it: ulimit -n {'unlimited' if hard is None else hard}"
        else:
            way_out = "it is the hard limit: raise it in limits.conf, or by docker run --ulimit nofile="
        yield Finding(
            "warning",
            "limits",
            f"RLIMIT_NOFILE: {soft} descriptors, and a pool of {workers} with what is open may take {needed}",
            way_out,
        )
    else:
        yield Finding("ok", "limits", f"RLIMIT_NOFILE: {_bound(f.descriptors, str)} descriptors")
    if f.tasks_limit is not None and f.tasks_limit - (f.tasks_now or 0) < 16 + 4 * workers:
        yield Finding(
            "warning",
            "limits",
            f"pids.max: {f.tasks_limit} processes and threads, {f.tasks_now or 0} of them used",
            "raise it (docker run --pids-limit), or use fewer workers",
        )
    elif f.tasks_limit is not None:
        yield Finding(
            "ok", "limits", f"pids.max: {f.tasks_limit} processes and threads, {f.tasks_now or 0} of them used"
        )
    if f.processes[0] is not None and f.processes[0] < 64 + 4 * workers:
        yield Finding(
            "warning",
            "limits",
            f"RLIMIT_NPROC: {f.processes[0]} processes and threads for all that this user runs",
            "raise it (ulimit -u), or use fewer workers",
        )
    else:
        yield Finding("ok", "limits", f"RLIMIT_NPROC: {_bound(f.processes, str)} processes and threads")
    if f.address_space[0] is not None:
        yield Finding(
            "warning",
            "limits",
            f"RLIMIT_AS: {_size(f.address_space[0])} of addresses; shared memory counts in each process that sees it",
            "lift it (ulimit -v unlimited), and limit memory by a cgroup",
        )
    if f.file_size[0] is not None:
        yield Finding(
            "warning",
            "limits",
            f"RLIMIT_FSIZE: {_size(f.file_size[0])}; shared memory is a file to the kernel, so arguments are bounded by it",
            "lift it: ulimit -f unlimited",
        )


def _kernel(f: Facts) -> Iterator[Finding]:
    if f.parent_death_signal is False:
        yield Finding(
            "warning",
            "kernel",
            "no PR_SET_PDEATHSIG: workers may outlive a program that is killed",
            "a filter of system calls forbids prctl; allow it",
        )
    elif f.parent_death_signal:
        yield Finding("ok", "kernel", "workers end with a program that is killed (PR_SET_PDEATHSIG)")
    scopes = {
        1: "debuggers see only their own children",
        2: "only root's debuggers see other processes",
        3: "no debugger sees any process",
    }
    if f.ptrace_scope in scopes:
        yield Finding(
            "note",
            "kernel",
            f"ptrace_scope is {f.ptrace_scope}: {scopes[f.ptrace_scope]}; forkful doesn't need it",
            "py-spy and gdb look into a running worker as root"
            + (
                ", or after sysctl kernel.yama.ptrace_scope=0"
                if f.ptrace_scope < 3
                else " after a restart with another scope"
            ),
        )
    else:
        scope = "no ptrace_scope" if f.ptrace_scope is None else f"ptrace_scope is {f.ptrace_scope}"
        yield Finding("ok", "kernel", f"debuggers may look into workers ({scope})")


def _starts(f: Facts) -> Iterator[Finding]:
    named = f.variables.get("FORKFUL_START_METHOD")
    default = f"{named}, by FORKFUL_START_METHOD" if named else f"{f.start_default}, the interpreter's own"
    yield Finding("ok", "starts", f"start methods: {', '.join(f.start_methods)}; the default is {default}")
    if f.engine_error is not None:
        return
    for trial in f.trials:
        if trial.error is None:
            yield Finding("ok", "starts", trial.title)
        else:
            yield Finding("missing", "starts", f"{trial.title}: {trial.error}", _way_out(trial.name, trial.error))


def _way_out(name: str, error: str) -> str:
    if "no answer" in error:
        return "something hangs at the start of a process: a library's fork hook, or a machine that is very busy; try again"
    if "Errno 24]" in error or "Errno 27]" in error or "file too large" in error:
        return "a limit above is too low: raise RLIMIT_NOFILE (ulimit -n) or RLIMIT_FSIZE (ulimit -f)"
    if name == "memfd" or name == "pidfd":
        return (
            "the kernel is older than 5.4, or a filter of system calls (seccomp, of a container) forbids it; allow it"
        )
    if name in ("fork", "zygote", "spawn"):
        others = " or ".join(repr(method) for method in ("fork", "zygote", "spawn") if method != name)
        return f"the error says what was refused; start_method={others} may work, and threads do without"
    return "the error says what was refused; look at the limits above"


def _packages(f: Facts) -> Iterator[Finding]:
    uses = {
        "numpy": ("arrays travel by shared memory; nothing else needs it", "pip install numpy"),
        "matplotlib": ("charts: forkful bench --plot, forkful which --plot", "pip install 'forkful[plot]'"),
        "tqdm": ("progress bars in a terminal and in notebooks", "pip install 'forkful[progress]'"),
    }
    there = [f"{name} {found}" for name, found in f.packages.items() if found]
    if there:
        yield Finding("ok", "packages", ", ".join(there))
    for name, found in f.packages.items():
        if found is None and name in uses:
            yield Finding("note", "packages", f"no {name}: {uses[name][0]}", uses[name][1])
        elif found is None:
            yield Finding("missing", "packages", f"no {name}, which forkful needs", f"pip install {name}")
    for library, threads in f.blas.items():
        says = f"{library} computes with {threads} thread{'s' * (threads != 1)}"
        planned = f.cpus_planned or threads
        if threads > planned:
            yield Finding(
                "warning",
                "packages",
                f"{says}, on {planned} CPU{'s' * (planned != 1)}",
                f"in forkful's workers it is given fewer; for the rest, OMP_NUM_THREADS={planned}",
            )
        else:
            yield Finding("ok", "packages", says)


def _environment(f: Facts) -> Iterator[Finding]:
    if f.folder is None:
        yield Finding(
            "missing",
            "environment",
            "the current folder is gone: workers by zygote and by spawn start in it",
            "cd to one that is there",
        )
    known = {"FORKFUL_START_METHOD": METHODS, "FORKFUL_ON_CRASH": CRASHES}
    for name, value in f.variables.items():
        if name in known and value and value not in known[name]:
            yield Finding(
                "missing",
                "environment",
                f"{name}={value}: pools of processes will refuse it",
                f"one of {', '.join(known[name])}",
            )
        else:
            yield Finding("note" if name not in known else "ok", "environment", f"{name}={value}")


def _bound(bound: Bound, words: Callable[[int], str]) -> str:
    soft, hard = bound
    if soft is None:
        return "any number of"
    return words(soft) if soft == hard else f"{words(soft)} (up to {'any number' if hard is None else words(hard)})"


def _size(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 1000 * factor else f"{size / factor:,.0f} {unit}"
    return f"{size} bytes"


_JUDGES = (_versions, _cpus, _memory, _limits, _kernel, _starts, _packages, _environment)
