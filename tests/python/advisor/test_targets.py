"""`module:function`, `file.py:function`, and what they are called with."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forkful.advisor import inputs, target

SOURCE = """
import os

here = __name__
number = 3


def work(first, second=2, *, third=3):
    return first, second, third


class Worker:
    def run(self, n):
        return n


worker = Worker()

if __name__ == "__main__":
    raise AssertionError("it ran as a program")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "targeted.py").write_text(SOURCE)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_of_the_current_directory() -> None:
    found = target.find("targeted:work")
    assert found.function(1) == (1, 2, 3)
    assert (found.module.__name__, found.name) == ("targeted", "work")


def test_a_module_of_the_standard_library() -> None:
    assert target.find("os.path:join").function is os.path.join


def test_a_file_is_imported_under_its_name_and_not_run() -> None:
    found = target.find("targeted.py:work")
    assert found.module.__name__ == "targeted" and sys.modules["targeted"] is found.module


def test_a_file_elsewhere_finds_its_neighbours(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "neighbour_of_it.py").write_text("value = 7")
    (folder / "sub" / "asks.py").write_text("import neighbour_of_it\ndef ask(): return neighbour_of_it.value")
    assert target.find("sub/asks.py:ask").function() == 7


def test_a_file_of_a_package_is_imported_as_part_of_it(folder: Path) -> None:
    package = folder / "src" / "packaged"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("value = 1")
    (package / "two.py").write_text("from .one import value\ndef give(): return value")
    found = target.find("src/packaged/two.py:give")
    assert found.function() == 1 and found.module.__name__ == "packaged.two"


@pytest.mark.parametrize("name", ["json.py", "with-dash.py", "3.py"])
def test_a_file_whose_name_is_no_module_or_another_one(name: str, folder: Path) -> None:
    import json

    (folder / name).write_text("def work(): return 'own'")
    found = target.find(f"{name}:work")
    assert found.function() == "own"
    assert sys.modules["json"] is json
    assert sys.modules[found.module.__name__] is found.module


def test_dots_in_the_name() -> None:
    assert target.find("targeted:Worker.run").function(None, 4) == 4
    assert target.find("targeted.py:worker.run").function(4) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere", "must be module:function or file.py:function, such as package.module:parse"),
        ("targeted", "such as targeted.py:work$"),
        ("targeted:", "must be module:function"),
        ("targeted.py", "such as targeted.py:work$"),
        (":work", "must be module:function"),
        ("nowhere_at_all:work", "no module named 'nowhere_at_all'"),
        ("targeted.sub:work", "no module named 'targeted.sub'"),
        ("nowhere.py:work", "there is no file 'nowhere.py'"),
        ("./targeted.txt:work", "there is no file"),
        ("with-dash:work", "no module's name"),
        ("targeted:wrok", "did you mean 'work'"),
        ("targeted:zzz", "it has Worker, work"),
        ("targeted:Worker.rum", "targeted:Worker has no 'rum'; did you mean 'run'"),
        ("targeted:number", "can't be called: it is no function, and of type int"),
        ("targeted:os", "is a module: name a function of it"),
    ],
)
def test_what_is_not_there(text: str, words: str) -> None:
    with pytest.raises(target.TargetError, match=words):
        target.find(text)


def test_a_module_that_raises(folder: Path) -> None:
    (folder / "breaks.py").write_text("import missing_thing")
    with pytest.raises(target.TargetRaised) as raised:
        target.find("breaks.py:work")
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)
    with pytest.raises(target.TargetRaised):
        target.find("breaks:work")


def test_a_script_that_exits_when_it_is_imported(folder: Path) -> None:
    (folder / "exits.py").write_text("import sys\nsys.exit(3)")
    with pytest.raises(target.TargetError, match='__name__ == "__main__"'):
        target.find("exits.py:work")


# --- what it is called with ---


def test_literals() -> None:
    assert inputs.literals(["1", "'a'", "[1, (2,)]", "None", "-3"]) == [((1, "a", [1, (2,)], None, -3), {})]
    assert inputs.literals([]) == [((), {})]


@pytest.mark.parametrize(
    ("word", "way_out"), [("hello", "\"'hello'\""), ("it's", "quotes of its own"), ("f(3)", "--setup"), ("", "")]
)
def test_what_is_no_literal(word: str, way_out: str) -> None:
    with pytest.raises(inputs.InputError) as raised:
        inputs.literals([word])
    assert way_out in str(raised.value)


def test_json_lines() -> None:
    text = '[1, "a"]\n\n{"second": 5, "first": 1}\n7\n"text"\n[[1, 2]]\nnull\n'
    assert inputs.lines(io.StringIO(text), "calls.jsonl") == [
        ((1, "a"), {}),
        ((), {"second": 5, "first": 1}),
        ((7,), {}),
        (("text",), {}),
        (([1, 2],), {}),
        ((None,), {}),
    ]


@pytest.mark.parametrize(
    ("text", "words"), [("[1]\n{oops\n", "calls.jsonl, line 2: not JSON"), ("\n", "holds no calls")]
)
def test_what_is_no_json_line(text: str, words: str) -> None:
    with pytest.raises(inputs.InputError, match=words):
        inputs.lines(io.StringIO(text), "calls.jsonl")


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        ("(1, 2)", [((1, 2), {})]),
        ("[(1, 2), 3]", [((1, 2), {}), ((3,), {})]),
        ("number", [((3,), {})]),
        ("import math; math.floor(2.5)", [((2,), {})]),
        ("()", [((), {})]),
        ("{'a': 1}", [(({"a": 1},), {})]),
        ("def double(n):\n    return 2 * n\n[double(number)]", [((6,), {})]),
    ],
)
def test_setup(code: str, calls: Any) -> None:
    namespace = {"number": 3}
    assert inputs.evaluated(code, namespace) == calls
    assert namespace == {"number": 3}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "must end with an expression"),
        ("x = 1", "must end with an expression"),
        ("1 +", "no Python"),
        ("missing", "raised NameError"),
        ("exit(3)", "raised SystemExit: 3"),
        ("[]", "empty list"),
    ],
)
def test_setup_that_makes_nothing(code: str, words: str) -> None:
    with pytest.raises(inputs.InputError, match=words):
        inputs.evaluated(code, {})


def test_calls_that_fit() -> None:
    work = target.find("targeted:work").function
    inputs.check(work, "work", [((1,), {"third": 2}), ((1, 2), {})], "--arg")
    inputs.check(max, "max", [((), {})], "")  # no signature, so nothing can be said


@pytest.mark.parametrize(
    ("name", "calls", "source", "words"),
    [
        ("work", [((), {})], "", "needs arguments .*'first'.*: give them by --arg, --args-from or --setup"),
        ("work", [((1, 2, 3), {})], "--arg", "the arguments do not fit work.*too many"),
        ("work", [((1,), {}), ((1,), {"fourth": 1})], "--args-from", "input 2 of 2 does not fit .*'fourth'"),
        ("Worker.run", [((4,), {})], "--arg", "'n'"),
    ],
)
def test_calls_that_do_not_fit(name: str, calls: Any, source: str, words: str) -> None:
    with pytest.raises(inputs.InputError, match=words):
        inputs.check(target.find(f"targeted:{name}").function, name, calls, source)
