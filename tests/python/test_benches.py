"""The benchmark suite still runs: every measure once, with hardly any work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).resolve().parents[2] / "benches" / "python"
WATCHDOG = 100

# (function, parameters, metrics)
WORK = [
    ("throughput", {"tasks": 500, "workers": 2}, {"tasks/s"}),
    ("latency", {"tasks": 200}, {"p50 us", "p99 us"}),
    ("latency", {"tasks": 200, "one_cpu": True}, {"p50 us", "p99 us"}),
    ("pending", {"tasks": 500, "workers": 2}, {"us/submit", "bytes/future"}),
    ("collect", {"how": "wait", "tasks": 500, "workers": 2}, {"us/future"}),
    ("collect", {"how": "as_completed", "tasks": 500, "workers": 2}, {"us/future"}),
    ("gather", {"tasks": 200, "workers": 2}, {"tasks/s"}),
    ("idle", {"seconds": 0.1, "workers": 2}, {"wake-ups/s"}),
    ("mapped", {"tasks": 500, "workers": 2}, {"k items/s", "ns/item", "times the builtin's"}),
    ("nested", {"n": 6, "workers": 50}, {"tasks/s", "threads"}),
]


ONE = {"workers": 1, "bytes": 800_000}
LARGE_WORK = [
    ("argument", {"tasks": 1, **ONE}, {"ms"}),
    ("first", ONE, {"ms"}),
    ("result", {"tasks": 1, **ONE}, {"ms"}),
    (
        "sweep",
        {"kind": "bytes", "least": 1 << 17, "most": 1 << 19, "workers": 1, "seconds": 0},
        {"us at 128 KB", "us at 256 KB", "us at 512 KB", "step at the crossover"},
    ),
    (
        "memory",
        {"tasks": 2, "seconds": 0, **ONE},
        {"ms/transfer", "parent grown %", "workers grown %"},
    ),
]

IPC_WORK = [
    ("queue", {"tasks": 400, "producers": 1, "consumers": 1}, {"k/s"}),
    ("queue", {"tasks": 400, "producers": 2, "consumers": 2, "payload": 4096}, {"k/s"}),
    ("bounds", {"tasks": 400, "maxsize": 10}, {"k/s unbounded", "k/s bounded", "unbounded/bounded"}),
    *(
        ("ping_pong", {"what": what, "between": between, "tasks": 50, "cpus": "apart"}, {"p50 us"})
        for what in ("event", "condition", "semaphore")
        for between in ("processes", "threads")
    ),
    ("lock", {"tasks": 100}, {"ns", "times threading.Lock's"}),
    ("pipe", {"tasks": 50, "cpus": "one-cpu"}, {"p50 us"}),
    ("stream", {"tasks": 2, "bytes": 1 << 20, "duplex": False}, {"GB/s"}),
    *(
        ("pool", {"how": how, "kind": kind, "tasks": 200, "workers": 2}, {"k items/s"})
        for how in ("map", "imap_unordered", "apply_async")
        for kind in ("processes", "threads")
    ),
    ("thread_queue", {"tasks": 200, "maxsize": 10}, {"k/s"}),
    *(("setup", {"what": what, "tasks": 5}, {"p50 us"}) for what in ("queue", "pipe", "lock", "memory", "process")),
    *(("bare", {"way": way, "tasks": 20}, {"p50 us"}) for way in ("socket", "signal", "memory")),
]


@pytest.mark.parametrize("subject", ["stdlib", "forkful"])
@pytest.mark.parametrize(("function", "parameters", "metrics"), WORK)
def test_work(subject: str, function: str, parameters: dict[str, object], metrics: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHES / "work.py"), function, subject, json.dumps(parameters)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert json.loads(done.stdout).keys() == metrics


@pytest.mark.parametrize("subject", ["stdlib", "forkful"])
@pytest.mark.parametrize(("function", "parameters", "metrics"), LARGE_WORK)
def test_large_work(subject: str, function: str, parameters: dict[str, object], metrics: set[str]) -> None:
    pytest.importorskip("numpy")
    done = subprocess.run(
        [sys.executable, str(BENCHES / "large_work.py"), function, subject, json.dumps(parameters)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert metrics <= json.loads(done.stdout).keys()


@pytest.mark.parametrize("subject", ["stdlib", "forkful"])
@pytest.mark.parametrize(("function", "parameters", "metrics"), IPC_WORK)
def test_ipc_work(subject: str, function: str, parameters: dict[str, object], metrics: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHES / "ipc_work.py"), function, subject, json.dumps(parameters)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert json.loads(done.stdout).keys() == metrics


@pytest.mark.parametrize("subject", ["stdlib", "forkful"])
def test_auto_work(subject: str) -> None:
    parameters = {"mix": ["nap", "compute", "squeeze", "tiny", "head"], "tasks": 10}
    done = subprocess.run(
        [sys.executable, str(BENCHES / "auto_work.py"), "mixed", subject, json.dumps(parameters)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert json.loads(done.stdout).keys() == {"ms first", "ms"}


def test_suite(tmp_path: Path) -> None:
    samples = tmp_path / "samples.json"
    done = subprocess.run(
        [sys.executable, str(BENCHES / "run.py"), "--quick", "--rounds", "1", "--only", "wait", "--json", str(samples)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )

    assert done.returncode == 0, done.stderr
    assert "wait-10k to wait-100k, growth of us/future" in done.stdout
    assert json.loads(samples.read_text())["samples"].keys() == {"wait-10k", "wait-100k"}
