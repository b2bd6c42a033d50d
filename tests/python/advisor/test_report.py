"""The report of a verdict as text, JSON and a chart, over measurements that are made up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from advisor.measured import measured

from forkful.advisor import Advice, Cost, Measurements, judge, units


def advice(m: Measurements) -> Advice:
    return Advice(judge(m), m)


LOOP = advice(measured(threads={2: 0.97}, processes={2: 1.9}, notes=("The machine was asked twice",)))
RAISED = advice(measured(raised="ValueError: no", traceback="Traceback"))
SENT = measured(arguments=Cost(80_000_000, 80_000_000, 0.02), shareable=80_000_000, shared={2: 1.9}, processes={2: 0.4})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (4.1e-7, "410 ns"),
        (1.2e-3, "1.2 ms"),
        (0.01, "10 ms"),
        (1.0, "1 s"),
        (3.44, "3.4 s"),
        (9.996e-4, "1 ms"),
        (300, "5 min"),
    ],
)
def test_seconds(value: float, shown: str) -> None:
    assert units.seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 bytes"), (1, "1 byte"), (1500, "1.5 kB"), (8e7, "80 MB"), (2e9, "2 GB")]
)
def test_sizes(value: float, shown: str) -> None:
    assert units.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 %"), (0.0004, "0.1 %"), (0.004, "0.4 %"), (0.57, "57 %"), (0.9996, "99.9 %"), (1, "100 %")],
)
def test_percent(value: float, shown: str) -> None:
    assert units.percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.314, "0.31"), (1.0, "1.0"), (1.94, "1.9"), (9.97, "10"), (1234, "1,234")]
)
def test_times(value: float, shown: str) -> None:
    assert units.times(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.512, "0.51/s"), (98.2, "98/s"), (1943, "1,940/s"), (2.14e6, "2.1 million/s")]
)
def test_rates(value: float, shown: str) -> None:
    assert units.rate(value) == shown


def test_the_text_has_the_sentence_first_and_all_numbers_under_it() -> None:
    first, *others = LOOP.text.splitlines()
    below = "\n".join(others)
    assert first == LOOP.verdict.sentence
    assert str(LOOP) == LOOP.text
    for words in (
        "2 CPUs",
        "x 1.9",
        "x 0.97",
        "held 99 %",
        "give or take 3 %",
        "to pickle",
        "50 ms until",
        "over direct calls",
    ):
        assert words in below
    assert [line.split()[:2] for line in others if line.endswith(" <")] == [["processes", "2"]]
    assert "note: The machine was asked twice." in below
    assert "\x1b" not in LOOP.text


def test_doubts_are_in_the_text() -> None:
    assert "unsure:" in advice(measured(threads={2: 0.97}, processes={2: 1.05})).text
    assert "unsure:" not in LOOP.text


def test_what_raised_is_in_the_text_and_no_numbers_of_it() -> None:
    assert "ValueError: no" in RAISED.text and "one by one" not in RAISED.text


def test_no_gil_is_said() -> None:
    text = advice(measured(free=True, threads={2: 1.9}, processes={2: 1.9})).text
    assert "no GIL" in text.splitlines()[0] and "this interpreter has none" in text


def test_what_cannot_be_pickled_is_said() -> None:
    m = measured(
        threads={2: 1}, arguments=Cost(error="TypeError: no lock"), refused="its arguments: TypeError: no lock"
    )
    assert "can't be pickled: TypeError: no lock" in advice(m).text


def test_large_objects_are_said() -> None:
    text = advice(SENT).text
    assert "processes with share()" in text and "80 MB of them the same in every call" in text


def test_json_has_everything() -> None:
    told = json.loads(LOOP.to_json())
    assert told["version"] == 1
    assert set(told) == {"version", "forkful", "verdict", "ways", "measurements"}
    verdict = told["verdict"]
    assert (verdict["choice"], verdict["workers"], verdict["sure"], verdict["doubts"]) == ("processes", 2, True, [])
    assert verdict["label"] == "processes (computes in Python)"
    assert verdict["sentence"] == LOOP.verdict.sentence
    assert [(way["way"], way["workers"], way["chosen"]) for way in told["ways"]] == [
        ("inline", 1, False),
        ("threads", 2, False),
        ("processes", 2, True),
    ]
    assert told["measurements"]["wall"] == {"median": 0.01, "low": 0.0098, "high": 0.0102, "count": 7}
    assert told["measurements"]["processes"][0]["workers"] == 2
    assert "\n" not in LOOP.to_json(indent=None)


def test_repr_is_one_line_and_html_is_escaped() -> None:
    assert repr(LOOP) == "<Advice module:function: processes (computes in Python), workers=2, speedup=1.90, sure=True>"
    lambdas = advice(measured(function="module:<lambda>", threads={2: 1.0}))
    assert "<lambda>" not in lambdas._repr_html_() and "&lt;lambda&gt;" in lambdas._repr_html_()


@pytest.mark.parametrize("made", [LOOP, RAISED, advice(SENT), advice(measured(lazy="coroutine", cpu=0.0))])
def test_a_chart_of_every_kind(made: Advice, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made.plot(tmp_path / "chart.png")
    made.plot(str(tmp_path / "chart.svg"))
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "chart.svg").read_text()


def test_a_chart_leaves_the_users_figures_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    before = "matplotlib.pyplot" in sys.modules
    LOOP.plot(tmp_path / "chart.png")
    assert ("matplotlib.pyplot" in sys.modules) == before


@pytest.mark.parametrize("name", ["chart", "chart.docx", "nowhere/chart.png"])
def test_a_chart_goes_into_a_picture(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"must end in \.png|does not exist"):
        LOOP.plot(tmp_path / name)


def test_without_matplotlib_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ImportError, match=r"pip install 'forkful\[plot\]'"):
        LOOP.plot(tmp_path / "chart.png")


def test_the_names_are_loaded_when_they_are_asked_for() -> None:
    program = (
        "import sys, forkful\n"
        "assert 'forkful.advisor' not in sys.modules\n"
        "forkful.advise, forkful.Advice\n"
        "heavy = {'click', 'rich', 'matplotlib', 'numpy', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
