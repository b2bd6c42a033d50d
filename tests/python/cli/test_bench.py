"""`forkful bench`: really run where it is quick, over figures that are made up where it is shown."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forkful.cli import bench, bench_table, group
from forkful.comparison import chart, rounds
from forkful.comparison.measures import MEASURES, PACKAGES, REFERENCE, SUBJECTS, Measure, chosen
from forkful.comparison.results import Result, complete, document, short, three_digits, times
from forkful.comparison.rounds import Failed, compare

WATCHDOG = 100
FORKFUL = (sys.executable, "-m", "forkful")

LATENCY, THROUGHPUT = chosen(("latency-threads",))[0], chosen(("throughput-processes",))[0]
ABOUT: dict[str, Any] = {
    "forkful": "1.2.3",
    "python": "3.13.0",
    "machine": "x86_64",
    "kernel": "6.1",
    "cpus": 4,
    "load_before": 0.1,
    "packages": {},
    "rounds": 3,
    "quick": False,
}


def made_up() -> list[Result]:
    return [
        Result(LATENCY, {"forkful": [2.0, 1.0, 1.5], "stdlib": [60.0, 61.0, 59.0], "pebble": [70.0, 75.0, 71.0]}),
        Result(
            THROUGHPUT,
            {"forkful": [9_000.0, 9_900.0, 9_500.0], "stdlib": [19_000.0, 18_000.0, 20_000.0]},
            {"loky": "gave no answer in 60 s"},
        ),
    ]


# --- for real ---


def test_a_quick_run(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    done = subprocess.run(
        [*FORKFUL, "bench", "--quick", "--only", "latency", "--json", str(file)],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        # Colours may be asked for in a file, but nobody wants a bar there.
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(file.read_text())
    assert found["measures"].keys() == {"latency-threads", "latency-processes"}
    for measure in found["measures"].values():
        assert measure["failures"] == {}
        assert measure["medians"]["forkful"] > 0 and measure["medians"]["stdlib"] > 0
        assert measure["times_stdlib"]["forkful"] == pytest.approx(
            measure["medians"]["stdlib"] / measure["medians"]["forkful"]
        )
    assert found["about"]["rounds"] == 1 and found["about"]["quick"]
    assert "submit().result(), hot," in done.stdout
    assert "quick: not for comparison" in done.stdout
    assert "\x1b" in done.stdout


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: str(measure.name))
def test_each_measure_gives_a_figure(measure: Measure) -> None:
    assert rounds.once(measure, "forkful", workers=2, seconds=0.001) > 0


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if name not in ("forkful", "stdlib")])
def test_the_others_are_measured_where_they_are_installed(subject: str) -> None:
    if not rounds.is_there(subject):
        pytest.skip("not installed")
    # The shorter ones.
    mine = [m for m in MEASURES if subject in m.subjects and m.name in ("throughput-processes", "sleeping")]
    assert mine
    for measure in mine:
        assert rounds.once(measure, subject, workers=2, seconds=0.001) > 0


def test_a_subject_that_fails_says_why() -> None:
    with pytest.raises(Failed, match=r"^KeyError: 'nobody'$"):
        rounds.once(LATENCY, "nobody", workers=1, seconds=0.001)


@pytest.mark.parametrize(("variable", "coloured"), [("FORKFUL_NOTHING", True), ("NO_COLOR", False)])
def test_a_terminal_gets_a_table(variable: str, coloured: bool) -> None:
    mine, its = pty.openpty()
    with subprocess.Popen(
        [*FORKFUL, "bench", "--quick", "--only", "first-threads"],
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, "TERM": "xterm-256color", variable: "1"},
    ) as running:
        os.close(its)
        shown = b""
        try:
            while more := os.read(mine, 4096):
                shown += more
        except OSError:
            pass  # as the kernel says that the other end is closed
        assert running.wait(WATCHDOG) == 0
    os.close(mine)
    # The bar's erasing is no colour.
    assert bool(re.search(rb"\x1b\[(?:\d+;)*3[0-9](?:;\d+)*m", shown)) is coloured
    assert "─────".encode() in shown


# --- wrong words, at once ---


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "speed"], "no measure's name begins with 'speed'; there are latency-threads"),
        (["--rounds", "0"], "0 is not in the range"),
        (["--plot", "chart.gif"], ".png, .svg or .pdf"),
        (["--json", "/no/such/folder/x.json"], "is there a folder /no/such/folder"),
        (["--plot", "/no/such/folder/x.png"], "is there a folder /no/such/folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda name: object())
    assert group.main(["bench", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in " ".join(captured.err.split())


def test_a_chart_without_matplotlib(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    assert group.main(["bench", "--plot", "chart.png"]) == 2
    assert "pip install 'forkful[plot]'" in capsys.readouterr().err


# --- over figures that are made up ---


def test_who_begins_changes_and_a_failure_is_not_repeated() -> None:
    order: list[str] = []

    def ask(measure: Measure, subject: str) -> float:
        order.append(subject)
        if subject == "pebble":
            raise Failed("it is tired")
        return float(len(order))

    (result,) = compare([LATENCY], 3, ask, lambda measure, subject: None, lambda subject: True)
    assert order == ["forkful", "stdlib", "pebble", "stdlib", "forkful", "forkful", "stdlib"]
    assert result.failures == {"pebble": "it is tired"}
    assert result.samples == {"forkful": [1.0, 5.0, 6.0], "stdlib": [2.0, 4.0, 7.0]}
    assert result.median("forkful") == 5.0 and result.median("pebble") is None


def test_only_what_is_there_is_asked() -> None:
    (result,) = compare([LATENCY], 1, lambda *_: 1.0, lambda *_: None, lambda subject: subject not in PACKAGES)
    assert result.samples.keys() == {"forkful", "stdlib"}


def test_ratios_are_of_the_better_direction() -> None:
    latency, throughput = made_up()
    assert latency.ratio("forkful") == 40.0
    assert throughput.ratio("forkful") == 0.5
    assert throughput.ratio("loky") is None and throughput.ratio("nobody") is None


def test_overlapping_rounds_leave_it_open() -> None:
    result = Result(LATENCY, {"forkful": [1.0, 3.0], "stdlib": [2.0, 4.0], "pebble": [5.0, 6.0]})
    assert result.is_open("forkful") and not result.is_open("pebble")
    # One round of each can't tell.
    assert not Result(LATENCY, {"forkful": [1.0], "stdlib": [1.0]}).is_open("forkful")


FIGURES = [
    (0.0, "0", "0"),
    (0.01234, "0.01", "0.01"),
    (0.5, "0.50", "0.50"),
    (1.336, "1.34", "1.34"),
    (24.06, "24.1", "24.1"),
    (109.4, "109", "109"),
    (999.6, "1,000", "1.00 k"),
    (15_234.0, "15,200", "15.2 k"),
    (1_567_000.0, "1,570,000", "1.57 M"),
    (12_345_678.0, "12,300,000", "12.3 M"),
]


@pytest.mark.parametrize(("value", "long", "brief"), FIGURES, ids=str)
def test_figures_have_the_digits_that_mean_something(value: float, long: str, brief: str) -> None:
    assert (three_digits(value), short(value)) == (long, brief)


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.0, "same"),
        (1.04, "same"),
        (0.96, "same"),
        (1.3, "1.3 x"),
        (0.52, "0.5 x"),
        (0.0412, "0.041 x"),
        (9.94, "9.9 x"),
        (12.4, "12 x"),
        (99.9, "100 x"),
        (123.0, "120 x"),
        (1234.0, "1,200 x"),
    ],
)
def test_ratios_in_two_digits(ratio: float, words: str) -> None:
    assert times(ratio) == words


def test_the_plain_table(capsys: pytest.CaptureFixture[str]) -> None:
    bench_table.show(made_up(), ABOUT)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["measure", "unit", "forkful", "times", "stdlib", "loky", "pebble"]
    assert lines[1].split()[-6:] == ["us", "1.50", "40", "x", "60.0", "71.0"]
    # It loses, and somebody has failed: both are said.
    assert lines[2].split()[-6:] == ["tasks/s", "9,500", "0.5", "x", "19,000", "failed"]
    assert "throughput-processes, loky: gave no answer in 60 s" in lines
    assert "forkful 1.2.3, Python 3.13.0, x86_64, 4 CPUs, Linux 6.1; medians of 3 rounds" in lines
    assert not [line for line in lines if "load" in line]


@pytest.mark.parametrize("escapes", [True, False])
def test_colours_only_where_they_are_wanted(
    escapes: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    if escapes:
        monkeypatch.setenv("FORCE_COLOR", "1")
    bench_table.show(made_up(), ABOUT)
    out = capsys.readouterr().out
    assert ("\x1b[" in out) is escapes
    table = re.sub(r"\x1b\[[\d;]*m", "", out.partition("forkful 1.2.3")[0])
    if escapes:
        assert max(map(len, table.splitlines())) <= 80


def test_a_narrow_terminal_cuts_no_figure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    bench_table.show(made_up(), ABOUT)
    out = capsys.readouterr().out
    assert "submit().result()" in out and "60.0" in out and "19,000" in out


def test_a_machine_that_was_busy_is_told_of() -> None:
    assert [note for note in bench_table.notes(made_up(), {**ABOUT, "load_before": 3.2}) if "load before: 3.2" in note]


def test_the_document_is_json_and_has_every_sample() -> None:
    found = json.loads(json.dumps(document(made_up(), ABOUT)))
    measure = found["measures"]["throughput-processes"]
    assert measure["better"] == "more" and measure["unit"] == "tasks/s"
    assert measure["samples"]["forkful"] == [9_000.0, 9_900.0, 9_500.0]
    assert measure["times_stdlib"] == {"forkful": 0.5}
    assert measure["failures"] == {"loky": "gave no answer in 60 s"}


def test_the_status_says_whether_forkful_has_its_figures() -> None:
    assert complete(made_up())
    assert not complete([Result(LATENCY, {"stdlib": [1.0]}, {"forkful": "it fell"})])
    # Nobody has one where the machine lacks what the measure needs.
    assert complete([Result(LATENCY, {}, {"forkful": "lacks memory", "stdlib": "lacks memory"})])


@pytest.mark.parametrize(("words", "to_stdout"), [("-", True), ("file", False)])
def test_json_goes_where_it_is_sent(
    words: str, to_stdout: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "once", lambda measure, subject, workers, seconds: 2.0 if subject == "forkful" else 4.0)
    target = words if to_stdout else str(tmp_path / "x.json")
    assert group.main(["bench", "--only", "latency-threads", "--rounds", "2", "--json", target]) == 0
    out = capsys.readouterr().out
    found = json.loads(out if to_stdout else Path(target).read_text())
    assert found["measures"]["latency-threads"]["times_stdlib"]["forkful"] == 2.0
    assert ("measure" in out.splitlines()[0]) is not to_stdout


def test_forkful_without_a_figure_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(measure: Measure, subject: str, workers: int, seconds: float) -> float:
        if subject == "forkful":
            raise Failed("it fell")
        return 1.0

    monkeypatch.setattr(rounds, "once", once)
    assert group.main(["bench", "--only", "latency-threads"]) == 1
    assert "latency-threads, forkful: it fell" in capsys.readouterr().out


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_chart(suffix: str, begins: bytes, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / f"chart.{suffix}"
    chart.draw(file, made_up(), bench_table.caption(ABOUT))
    assert file.read_bytes().startswith(begins)


def test_a_chart_of_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    chart.draw(tmp_path / "chart.png", [Result(LATENCY, {}, {"forkful": "it fell"})], "")
    assert (tmp_path / "chart.png").exists()


def test_the_list_of_measures() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    for measure in MEASURES:
        assert set(measure.subjects) <= set(SUBJECTS)
        assert measure.subjects[:2] == ("forkful", REFERENCE)
