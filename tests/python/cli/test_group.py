"""The command line as a whole: what is loaded, what is said of wrong words, how it ends, and what a pipe gets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from eventually import eventually
from living import alive

from forkful.cli import completion, group, launch, program

WATCHDOG = 60
FORKFUL = (sys.executable, "-m", "forkful")


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FORKFUL, *words],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The same in this process: exit status, output, error output."""
    status = group.main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


LOADED = "import sys; print(*sorted({'click', 'rich', 'argparse', 'asyncio', 'inspect'} & set(sys.modules)))"


@pytest.mark.parametrize("words", [("-c", LOADED), ("--", "show.py"), ("-m", "show")], ids=["code", "script", "module"])
def test_run_loads_nothing_that_the_program_has_not_asked_for(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(LOADED)
    done = subprocess.run(
        [*FORKFUL, "run", *words], cwd=tmp_path, capture_output=True, text=True, timeout=WATCHDOG, check=True
    )
    assert done.stdout.split() == []


def test_listing_commands_loads_none_of_them() -> None:
    code = (
        "import sys; from forkful.cli import main; main(sys.argv[1:]); print([m for m in sys.modules if 'rich' in m])"
    )
    for words in ("--help", "--version", "walk"):
        done = subprocess.run([sys.executable, "-c", code, words], capture_output=True, text=True, timeout=WATCHDOG)
        assert done.stdout.endswith("[]\n"), words


PROGRAMS = [
    (["script.py", "-m", "x"], (program.script, "script.py", ("-m", "x"))),
    (["-m", "name", "-c", "--help"], (program.module, "name", ("-c", "--help"))),
    (["-mname", "x"], (program.module, "name", ("x",))),
    (["-c", "pass", "--", "x"], (program.code, "pass", ("--", "x"))),
    (["-cpass"], (program.code, "pass", ())),
    (["-", "x"], (program.script, "-", ("x",))),
    (["--", "script.py", "--"], (program.script, "script.py", ("--",))),
    (["--", "-odd.py"], (program.script, "-odd.py", ())),
    ([], None),
    (["-m"], None),
    (["-c"], None),
    (["--"], None),
    (["-h"], None),
    (["--help", "script.py"], None),
    (["-x", "script.py"], None),
]


@pytest.mark.parametrize(("words", "named"), PROGRAMS, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_words_behind_run(words: list[str], named: tuple[object, ...] | None) -> None:
    found = launch.parse(words)
    assert (found and (found.start, found.name, found.arguments)) == named


@pytest.mark.parametrize("words", [["run"], ["run", "--"], ["run", "-m"], ["run", "-c"]], ids=" ".join)
def test_run_without_a_program(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, *words)
    assert (status, out) == (2, "")
    assert "a program is required" in err and "-m module" in err


def test_run_by_way_of_click(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The long way round, which a completion or another program takes, ends in the same place."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from forkful.cli.group import main; main(['run', '-c', 'import sys; print(sys.argv)', '-x'])",
        ],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=True,
    )
    assert done.stdout == "['-c', '-x']\n"


@pytest.mark.parametrize(
    ("name", "meant"), [("benhc", "bench"), ("docter", "doctor"), ("wich", "which"), ("complete", "completion")]
)
def test_an_unknown_command_names_the_nearest(name: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, name)
    assert (status, out) == (2, "")
    assert f"did you mean '{meant}'?" in err


def test_an_unknown_command_like_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(capsys, "xyz")
    assert status == 2
    assert all(name in err for name in group.COMMANDS)


@pytest.mark.parametrize("words", [["--nonsense"], ["doctor", "--nonsense"], ["completion", "csh"], ["completion"]])
def test_wrong_words_are_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith("usage: ") and "Error: " in err


@pytest.mark.parametrize("name", group.COMMANDS)
def test_each_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--help", "-h"):
        status, out, err = said(capsys, name, option)
        assert (status, err) == (0, "")
        assert out.startswith("usage: ")
        assert f"forkful {name}" in out.partition("\n\n")[2], "no example"
        assert "\x1b" not in out


def test_the_groups_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, "--help")
    assert (status, err) == (0, "")
    for name, words in group.COMMANDS.items():
        assert name in out and words.split()[0] in out
    assert "Examples:" in out and "Exit status: 0" in out
    # No word at all is a question too, but not a success.
    status, out, err = said(capsys)
    assert (status, out) == (2, "")
    assert "Examples:" in err


@pytest.mark.parametrize("words", [("--help",), ("completion", "bash"), ("bench", "--help")], ids=" ".join)
def test_a_pipe_that_is_closed_early_ends_it_quietly(words: Sequence[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run([*FORKFUL, *words], stdout=closed, stderr=subprocess.PIPE, text=True, timeout=WATCHDOG)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("words", [("--version",), ("completion", "bash")], ids=" ".join)
def test_a_full_disk_is_told_in_a_line(words: Sequence[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*FORKFUL, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=WATCHDOG)
    assert done.returncode == 1
    assert done.stderr == "Error: the output can't be written: No space left on device\n"


def test_an_output_that_is_closed_is_no_error() -> None:
    done = subprocess.run(
        [*FORKFUL, "--version"], preexec_fn=lambda: os.close(1), stderr=subprocess.PIPE, text=True, timeout=WATCHDOG
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [("bench",), ("which", "time:sleep", "--arg", "0.1")], ids=" ".join)
def test_without_the_engine_a_command_says_so(words: Sequence[str]) -> None:
    code = """import sys, warnings; sys.modules['forkful._engine'] = None; warnings.simplefilter('ignore')
from forkful.cli import main; sys.exit(main(sys.argv[1:]))"""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=WATCHDOG)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the engine can't be loaded") and done.stderr.count("\n") == 1


KILLED = """
import os, signal, sys
from forkful.cli import group
import click
@click.command("doctor")
def command():
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
        signal.pause()
    except KeyboardInterrupt:
        raise
    except BaseException:
        print("taken for an error of its own")
    finally:
        print("tidied up", flush=True)
group.Group.get_command = lambda self, ctx, name: command
group.main(["doctor"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_lets_it_tidy_up_and_ends_it(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(int(number))], capture_output=True, text=True, timeout=WATCHDOG
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (-number, "tidied up\n", "")


def test_ctrl_c_ends_it_and_what_it_has_started() -> None:
    with subprocess.Popen(
        [*FORKFUL, "bench", "--only", "computing"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        begun: list[str] = []
        assert eventually(lambda: begun.extend(children.read_text().split()) or begun)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=WATCHDOG)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert eventually(lambda: not any(alive(int(pid)) for pid in begun))


def ends(how: BaseException | int | None) -> click.Command:
    @click.command("doctor")
    def command() -> int | None:
        if isinstance(how, BaseException):
            raise how
        return how

    return command


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (None, 0),
        (0, 0),
        (1, 1),
        (SystemExit(3), 3),
        (KeyboardInterrupt(), 130),
        (EOFError(), 1),
        (click.Abort(), 1),
        (click.ClickException("no"), 1),
        (click.UsageError("no"), 2),
    ],
    ids=repr,
)
def test_exit_status(how: BaseException | int | None, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group.Group, "get_command", lambda self, ctx, name: ends(how))
    assert group.main(["doctor"]) == status


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group.Group, "get_command", lambda self, ctx, name: ends(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full"):
        group.main(["doctor"])


# --- completion ---


def completed(*words: str) -> list[str]:
    """What bash is told for these words, the last of which is being typed: kind and value."""
    done = run(_FORKFUL_COMPLETE="bash_complete", COMP_WORDS=" ".join(("forkful", *words)), COMP_CWORD=str(len(words)))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


COMPLETED = [
    (("b",), ["plain,bench"]),
    (("",), [f"plain,{name}" for name in group.COMMANDS]),
    (("--v",), ["plain,--version"]),
    (("doctor", "--j"), ["plain,--json"]),
    (("bench", "--pl"), ["plain,--plot"]),
    (("bench", "--only", "lat"), ["plain,latency-threads", "plain,latency-processes"]),
    (("completion", "z"), ["plain,zsh"]),
    (("run", "scr"), ["file,scr"]),
    # All that follows a program is the program's.
    (("run", "script.py", "--"), ["file,--"]),
]


@pytest.mark.parametrize(("words", "answer"), COMPLETED, ids=lambda value: " ".join(value))
def test_completion_answers(words: tuple[str, ...], answer: list[str]) -> None:
    assert completed(*words) == answer


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete -o"), ("zsh", "#compdef forkful"), ("fish", "complete --")]
)
def test_completion_scripts(shell: str, sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "completion", shell)
    assert status == 0
    assert sign in out and f"_FORKFUL_COMPLETE={shell}_complete" in out
    assert completion.command.epilog and f"forkful completion {shell} >" in completion.command.epilog


def test_bash_understands_the_script(tmp_path: Path) -> None:
    shim = tmp_path / "forkful"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m forkful "$@"\n')
    shim.chmod(0o755)
    script = """
        eval "$(forkful completion bash)"
        COMP_WORDS=(forkful doc); COMP_CWORD=1
        $(complete -p forkful | sed 's/.*-F \\([^ ]*\\).*/\\1/') forkful doc forkful
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )
    assert done.stdout == "doctor\n", done
