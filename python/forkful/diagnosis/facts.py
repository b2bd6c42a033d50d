"""What is known of a machine, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

Bound = tuple[int | None, int | None]
"""A resource limit, soft and hard; None is no limit."""


@dataclass(frozen=True)
class Trial:
    """Something that was tried."""

    name: str
    title: str
    error: str | None
    """Why it did not work; None where it did."""


@dataclass(frozen=True)
class Facts:
    """A machine, as one process sees it. Sizes are bytes; None is "there is no such thing" or "can't be known"."""

    # What runs.
    forkful: str
    python: str
    implementation: str
    engine_error: str | None
    """Why the engine can't be loaded; None where it is."""
    optimised: bool | None
    """Whether the engine is built without debug assertions."""
    gil: bool
    system: str
    kernel: str
    machine: str
    libc: str
    container: str | None
    """What says that this is a container."""
    # CPUs.
    cpus_machine: int
    cpus_allowed: int
    """In the affinity mask."""
    cpus_quota: float | None
    """What the cgroups allow on average."""
    cpus_planned: int | None
    """What forkful plans with."""
    cgroup: str | None
    """`v1`, `v2`, or both."""
    # Memory.
    memory_total: int | None
    memory_available: int | None
    memory_limit: int | None
    """The strictest cgroup's."""
    memory_used: int | None
    """In that cgroup."""
    shm_size: int | None
    """Of /dev/shm."""
    shm_free: int | None
    # Limits.
    descriptors: Bound
    descriptors_open: int | None
    processes: Bound
    """RLIMIT_NPROC, of all processes and threads of this user."""
    tasks_limit: int | None
    """The strictest cgroup's pids.max."""
    tasks_now: int | None
    address_space: Bound
    file_size: Bound
    # The kernel's services that can't be tried without changing something.
    parent_death_signal: bool | None
    ptrace_scope: int | None
    # Starts.
    start_methods: tuple[str, ...]
    start_default: str
    # Packages and variables.
    packages: dict[str, str | None]
    """{name: version}, None where it is not installed."""
    blas: dict[str, int]
    """{library: its threads}, as numpy brings them."""
    variables: dict[str, str]
    """Of the environment: forkful's, and those that say how many threads libraries may use."""
    folder: str | None
    """The current one; None where it has been removed."""
    trials: tuple[Trial, ...] = field(default=())
