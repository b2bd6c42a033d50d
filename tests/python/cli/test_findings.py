"""What `forkful doctor` makes of machines, as tables of facts: one that is all right, and what is changed in it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forkful.cli import doctor
from forkful.diagnosis.facts import Facts, Trial
from forkful.diagnosis.findings import LEVELS, Finding, examine
from forkful.diagnosis.groups import Allowed, allowed

MB, GB = 10**6, 10**9

GOOD = Facts(
    forkful="1.2.3",
    python="3.13.0",
    implementation="CPython",
    engine_error=None,
    optimised=True,
    gil=True,
    system="Linux",
    kernel="6.1.0-28-amd64",
    machine="x86_64",
    libc="glibc 2.36",
    container=None,
    cpus_machine=8,
    cpus_allowed=8,
    cpus_quota=None,
    cpus_planned=8,
    cgroup="v2",
    memory_total=16 * GB,
    memory_available=12 * GB,
    memory_limit=None,
    memory_used=None,
    shm_size=8 * GB,
    shm_free=8 * GB,
    descriptors=(1024, 1024),
    descriptors_open=4,
    processes=(60_000, 60_000),
    tasks_limit=None,
    tasks_now=None,
    address_space=(None, None),
    file_size=(None, None),
    parent_death_signal=True,
    ptrace_scope=0,
    start_methods=("fork", "spawn", "forkserver"),
    start_default="fork",
    packages={"click": "8.1", "rich": "13.0", "numpy": "2.0", "matplotlib": "3.9", "tqdm": "4.66"},
    blas={"openblas": 8},
    variables={},
    folder="/home",
    trials=(Trial("memfd", "memory", None), Trial("spawn", "a task in a spawned worker", None)),
)


def test_a_machine_that_is_all_right() -> None:
    findings = examine(GOOD)
    assert {finding.level for finding in findings} == {"ok"}
    assert doctor.verdict(findings) == "Nothing is missing, 0 warnings."
    assert "8 in the machine, 8 allowed by affinity, no quota: forkful plans with 8" in [f.says for f in findings]


TABLE: list[tuple[dict[str, Any], str, str, str]] = [
    # what is changed; the level, and words of what is said and of the hint
    ({"engine_error": "no such file", "cpus_planned": None}, "missing", "no such file", "pip install"),
    ({"optimised": False}, "warning", "debug assertions", "pip install forkful"),
    ({"kernel": "4.19.0"}, "missing", "4.19.0", "Linux 5.4"),
    ({"kernel": "5.3.18-azure"}, "missing", "5.3.18", "Linux 5.4"),
    ({"kernel": "5.4"}, "ok", "Linux 5.4,", ""),
    ({"kernel": "unknown"}, "ok", "Linux unknown", ""),
    ({"system": "Darwin"}, "missing", "Darwin", "Linux 5.4"),
    ({"gil": False}, "ok", "free-threaded", ""),
    ({"container": "/.dockerenv"}, "note", "container (/.dockerenv)", ""),
    ({"cpus_allowed": 1, "cpus_planned": 1}, "warning", "forkful plans with 1", "taskset"),
    ({"cpus_quota": 1.0, "cpus_planned": 1}, "warning", "a quota of 1", "docker run --cpus"),
    ({"cpus_machine": 1, "cpus_allowed": 1, "cpus_planned": 1}, "warning", "1 in the machine", "a larger machine"),
    ({"cpus_allowed": 2, "cpus_planned": 2}, "note", "2 allowed by affinity", "too many"),
    ({"cpus_quota": 2.5, "cpus_planned": 3}, "note", "a quota of 2.5", "docker run --cpus"),
    ({"cpus_quota": 0.5, "cpus_planned": 1}, "warning", "0.5 CPUs stops all threads", "raise"),
    ({"memory_available": 100 * MB}, "warning", "100 MB of it free", "fewer workers"),
    ({"memory_limit": 2 * GB, "memory_used": GB}, "note", "cgroup limit 2 GB, 1 GB of it used", "half"),
    ({"memory_limit": 2 * GB, "memory_used": 1900 * MB}, "warning", "1.9 GB of it used", "WorkerDied"),
    ({"shm_size": None, "shm_free": None}, "note", "no /dev/shm: forkful's pools don't use it", "mount a tmpfs"),
    ({"shm_size": 64 * MB}, "note", "/dev/shm has 64 MB", "--shm-size"),
    ({"descriptors": (64, 4096)}, "warning", "RLIMIT_NOFILE: 64", "ulimit -n 4096"),
    ({"descriptors": (64, None)}, "warning", "RLIMIT_NOFILE: 64", "ulimit -n unlimited"),
    ({"descriptors": (64, 64)}, "warning", "RLIMIT_NOFILE: 64", "limits.conf"),
    ({"descriptors": (1024, 1024), "descriptors_open": 1000}, "warning", "RLIMIT_NOFILE: 1024", "limits.conf"),
    ({"descriptors": (None, None)}, "ok", "RLIMIT_NOFILE: any number of descriptors", ""),
    ({"descriptors": (1024, None)}, "ok", "1024 (up to any number) descriptors", ""),
    ({"tasks_limit": 40, "tasks_now": 10}, "warning", "pids.max: 40", "--pids-limit"),
    ({"tasks_limit": 4000, "tasks_now": 10}, "ok", "pids.max: 4000", ""),
    ({"processes": (50, 50)}, "warning", "RLIMIT_NPROC: 50", "ulimit -u"),
    ({"address_space": (4 * GB, None)}, "warning", "RLIMIT_AS: 4 GB", "ulimit -v"),
    ({"file_size": (MB, None)}, "warning", "RLIMIT_FSIZE: 1 MB", "ulimit -f"),
    ({"parent_death_signal": False}, "warning", "PR_SET_PDEATHSIG", "prctl"),
    ({"ptrace_scope": 1}, "note", "ptrace_scope is 1", "sysctl"),
    ({"ptrace_scope": 3}, "note", "ptrace_scope is 3", "restart"),
    ({"ptrace_scope": None}, "ok", "(no ptrace_scope)", ""),
    ({"packages": {"numpy": None}}, "note", "no numpy", "pip install numpy"),
    ({"packages": {"matplotlib": None}}, "note", "no matplotlib", "forkful[plot]"),
    ({"packages": {"tqdm": None}}, "note", "no tqdm", "forkful[progress]"),
    ({"packages": {"cloudpickle": None}}, "missing", "no cloudpickle", "pip install cloudpickle"),
    ({"blas": {"openblas": 64}}, "warning", "64 threads, on 8 CPUs", "OMP_NUM_THREADS=8"),
    ({"variables": {"FORKFUL_START_METHOD": "threads"}}, "missing", "FORKFUL_START_METHOD=threads", "zygote"),
    ({"variables": {"FORKFUL_START_METHOD": "zygote"}}, "ok", "the default is zygote, by FORKFUL_START", ""),
    ({"variables": {"FORKFUL_ON_CRASH": "explode"}}, "missing", "FORKFUL_ON_CRASH=explode", "replace, break"),
    ({"variables": {"OMP_NUM_THREADS": "1"}}, "note", "OMP_NUM_THREADS=1", ""),
    ({"start_default": "forkserver"}, "ok", "the default is forkserver, the interpreter's own", ""),
    ({"trials": (Trial("memfd", "memory", "OSError: no"),)}, "missing", "memory: OSError: no", "seccomp"),
    ({"trials": (Trial("memfd", "memory", "OSError: [Errno 27] too"),)}, "missing", "memory: OSError", "RLIMIT_FSIZE"),
    ({"trials": (Trial("fork", "forked", "OSError: [Errno 24] too"),)}, "missing", "forked: OSError", "RLIMIT_NOFILE"),
    ({"folder": None}, "missing", "the current folder is gone", "cd "),
    ({"trials": (Trial("spawn", "spawned", "OSError: no"),)}, "missing", "spawned: OSError", "'fork' or 'zygote'"),
    ({"trials": (Trial("fork", "forked", "no answer in 30 s"),)}, "missing", "no answer in 30 s", "hangs"),
    ({"trials": (Trial("queue", "a Queue", "OSError: no"),)}, "missing", "a Queue: OSError", "limits above"),
]


@pytest.mark.parametrize(("changed", "level", "says", "hint"), TABLE, ids=lambda value: str(value)[:40])
def test_what_is_changed_is_found(changed: dict[str, Any], level: str, says: str, hint: str) -> None:
    findings = examine(replace(GOOD, **changed))
    found = [finding for finding in findings if says in finding.says]
    assert [finding.level for finding in found] == [level], findings
    assert hint in found[0].hint


def test_whatever_is_wrong_has_a_way_out() -> None:
    for changed, _, _, _ in TABLE:
        for finding in examine(replace(GOOD, **changed)):
            assert finding.level in LEVELS
            assert finding.hint or finding.level in ("ok", "note"), finding
            # In the report each is a line.
            assert "\n" not in finding.says + finding.hint


def test_the_verdict_counts() -> None:
    findings = [Finding("warning", "cpus", "a", "b"), Finding("missing", "cpus", "a", "b")]
    assert doctor.verdict(findings) == "1 missing, 1 warning."
    assert doctor.document(GOOD, findings)["counts"] == {"ok": 0, "note": 0, "warning": 1, "missing": 1}


# --- cgroups ---


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_version_2_takes_the_strictest_on_the_way_up(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "cgroup.controllers": "cpu memory pids",
            "a/cpu.max": "150000 100000",
            "a/b/cpu.max": "max 100000",
            "a/memory.max": "1000000",
            "a/memory.current": "450000",
            "a/memory.stat": "anon 300000\ninactive_file 50000\nslab 7\n",
            "a/b/memory.max": "2000000",
            "a/b/memory.current": "300000",
            "a/b/pids.max": "max",
            "pids.max": "500",
            "pids.current": "20",
        },
    )
    assert allowed(root, "0::/a/b\n") == Allowed("v2", 1.5, 1_000_000, 400_000, 500, 20)
    # In a container the path may be the host's, and the group at the mount is ours.
    assert allowed(root, "0::/docker/1234\n") == Allowed("v2", None, None, None, 500, 20)


def test_version_1(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "cpu,cpuacct/x/cpu.cfs_quota_us": "50000",
            "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/x/memory.limit_in_bytes": "3000000",
            "memory/x/memory.usage_in_bytes": "2500000",
            "memory/x/memory.stat": "inactive_file 1\ntotal_inactive_file 500000\n",
            "pids/x/pids.max": "77",
        },
    )
    text = "4:cpu,cpuacct:/x\n3:memory:/x\n2:pids:/x\n1:name=systemd:/x\n"
    assert allowed(root, text) == Allowed("v1", 0.5, 3_000_000, 2_000_000, 77, None)


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::/nowhere\n"])
def test_no_cgroups(text: str, tmp_path: Path) -> None:
    assert allowed(tmp_path, text) == Allowed(None, None, None, None, None, None)


# --- the report ---

REPORT = [
    Finding("ok", "cpus", "8 of them"),
    Finding("note", "packages", "no matplotlib: charts", "pip install 'forkful[plot]'"),
    Finding("warning", "packages", "a long line that says " + "much " * 20 + "[and that]", "and " * 30 + "a way out"),
]


def test_the_report_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.show(REPORT)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["cpus", "  ok      8 of them"]
    assert "          > pip install 'forkful[plot]'" in lines
    # One line each, for grep.
    assert len(lines) == 8
    assert lines[-1] == "Nothing is missing, 1 warning."


@pytest.mark.parametrize("width", [40, 80])
def test_the_report_on_a_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    doctor.show(REPORT)
    out = capsys.readouterr().out
    assert "\x1b[33mwarning" in out
    bare = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert "pip install 'forkful[plot]'" in bare and "[and that]" in bare
    assert max(map(len, bare.splitlines())) <= width
