"""`python -m forkful run` starts programs as python does: each program here runs under both, and the two must agree.

Compared are standard output, standard error and the exit status, to the letter; only memory addresses and measured
times are masked.
"""

from __future__ import annotations

import py_compile
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

WATCHDOG = 60

# What a program can see of how it was started.
SHOW = """\
import sys, __main__
import neighbour
names = {name: value for name, value in globals().items() if name not in ('sys', '__main__', 'neighbour')}
print(names, sys.argv, sys.path, neighbour.__file__, sep='\\n')
print(__main__ is sys.modules['__main__'], vars(__main__) is globals())
"""

FILES = {
    "neighbour.py": "def deep(n):\n    return deep(n - 1) if n else 1 / 0\n",
    "show.py": SHOW,
    "folder/show.py": SHOW,
    "folder/neighbour.py": "",
    "package/__init__.py": "print('package imported as', __name__)\n",
    "package/__main__.py": SHOW + "from . import part\nprint(part.__name__)\n",
    "package/part.py": "raise_ = None\n",
    "package/fails.py": "from neighbour import deep\ndeep(2)\n",
    "package/bad.py": "def (:\n",
    "bare/__init__.py": "",
    "broken/__init__.py": "import not_there_at_all\n",
    "runnable/__main__.py": SHOW + "deep = neighbour.deep\nif sys.argv[1:] == ['fail']: deep(1)\n",
    "runnable/neighbour.py": "def deep(n):\n    return deep(n - 1) if n else 1 / 0\n",
    "empty/readme.txt": "",
}


@dataclass
class Case:
    """A program, as the command line that python and `forkful run` both get."""

    arguments: Sequence[str]
    source: str | None = None
    stdin: str = ""
    options: Sequence[str] = ()
    since: tuple[int, int] = (3, 10)
    files: dict[str, bytes] = field(default_factory=dict)


def file(source: str, *arguments: str, **more: object) -> Case:
    return Case(["program.py", *arguments], source, **more)  # type: ignore[arg-type]


CASES = {
    # How a program is found, and what it sees of itself.
    "script": Case(["show.py", "one", "two"]),
    "script in a folder": Case(["folder/show.py"]),
    "script with a dot": Case(["./show.py"]),
    "script with two dots": Case(["folder/../show.py"]),
    "script behind a link": Case(["link.py"]),
    "arguments that look like options": Case(["show.py", "-m", "x", "-c", "--help", "--", "-", "--version"]),
    "script missing": Case(["missing.py"]),
    "script compiled": Case(["compiled.pyc", "x"]),
    "module": Case(["-m", "show", "-m", "x", "--help"]),
    "module joined to its option": Case(["-mshow", "x"]),
    "module in a package": Case(["-m", "package.part"]),
    "package": Case(["-m", "package", "x"]),
    "package without main": Case(["-m", "bare"]),
    "package broken": Case(["-m", "broken"]),
    "module missing": Case(["-m", "missing"]),
    "module with its suffix": Case(["-m", "show.py"]),
    "module fails": Case(["-m", "package.fails"]),
    "module with bad syntax": Case(["-m", "package.bad"]),
    "module interrupted": Case(["-m", "program"], "raise KeyboardInterrupt"),
    "code": Case(["-c", SHOW, "one", "-c", "--help"]),
    "code fails": Case(["-c", "def f():\n    raise ValueError('no')\n\nf()"]),
    "code with bad syntax": Case(["-c", "def ("]),
    "code interrupted": Case(["-c", "raise KeyboardInterrupt"]),
    "standard input": Case(["-", "one"], stdin=SHOW),
    "standard input fails": Case(["-"], stdin="def f():\n    1 / 0\nf()\n"),
    "standard input is used up": Case(["-"], stdin="print(repr(__import__('sys').stdin.read()))\n"),
    "directory": Case(["runnable", "x"]),
    "directory fails": Case(["runnable", "fail"]),
    "directory without main": Case(["empty"]),
    "zip file": Case(["runnable.zip", "x"]),
    "zip file fails": Case(["runnable.zip", "fail"]),
    "script under -O": Case(["show.py"], options=["-O"]),
    "asserts under -O": file("assert False\nprint(__debug__)", options=["-O"]),
    "script under -P": Case(["-c", "import sys; print(sys.path)"], options=["-P"], since=(3, 11)),
    "directory under -P": Case(["runnable", "x"], options=["-P"], since=(3, 11)),
    # How it ends.
    "falls off its end": file("print('hello')"),
    "exit status": file("import sys; sys.exit(3)"),
    "exit with a message": file("import sys; sys.exit('enough')"),
    "exit with nothing": file("raise SystemExit"),
    "exit with an odd value": file("raise SystemExit([1, 2])"),
    "exit in a function": file("import sys\ndef f():\n    try:\n        1 / 0\n    finally:\n        sys.exit(4)\nf()"),
    "exit at once": file("import os, sys; print('x'); sys.stdout.flush(); os._exit(5)"),
    "exception": file("from neighbour import deep\ndef f():\n    deep(3)\nf()"),
    "exception chained": file(
        "from neighbour import deep\ntry:\n    deep(0)\nexcept ArithmeticError as e:\n    raise OSError('x') from e"
    ),
    "exception while handling": file("try:\n    1 / 0\nexcept ArithmeticError:\n    {}['x']"),
    "exception of its own class": file("class Own(Exception):\n    pass\nraise Own('it')"),
    "exception group": file("raise ExceptionGroup('g', [ValueError(1), OSError(2)])", since=(3, 11)),
    "bad syntax": file("x = = 1"),
    "bad indentation": file("def f():\nreturn 1"),
    "bad syntax in an import": file("import package.bad"),
    "import missing": file("import not_there_at_all"),
    "base exception": file("class Stop(BaseException): pass\nraise Stop"),
    "keyboard interrupt": file("def f():\n    raise KeyboardInterrupt\nf()"),
    "interrupted by a signal": file("import signal\nsignal.raise_signal(signal.SIGINT)"),
    "interrupt handled": file("try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt:\n    print('no')"),
    "killed": file("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"),
    "interrupt, then clean-up": file(
        "import atexit\natexit.register(print, 'bye')\nclass D:\n"
        "    def __del__(self): print('gone')\nd = D()\nraise KeyboardInterrupt"
    ),
    "clean-up": file(
        "import atexit, threading, time\natexit.register(print, 'bye')\nclass D:\n"
        "    def __del__(self): print('gone')\nd = D()\n"
        "threading.Thread(target=lambda: (time.sleep(.05), print('thread'))).start()\n1 / 0"
    ),
    "clean-up fails": file("import atexit\natexit.register(lambda: 1 / 0)\nprint('x')"),
    "exception in a thread": file("import threading\nt = threading.Thread(target=len, name='t'); t.start(); t.join()"),
    "excepthook": file(
        "import sys, traceback\ndef hook(kind, value, tb):\n"
        "    print('hook', kind, value, sys.exc_info(), traceback.format_tb(tb))\nsys.excepthook = hook\n1 / 0"
    ),
    "excepthook fails": file("import sys\ndef hook(*_):\n    {}['hook']\nsys.excepthook = hook\n1 / 0"),
    "excepthook exits": file("import sys\nsys.excepthook = lambda *_: sys.exit(7)\n1 / 0"),
    "excepthook missing": file("import sys\ndel sys.excepthook\n1 / 0"),
    "last exception": file(
        "import atexit, sys, traceback\natexit.register(lambda: print(repr(sys.last_value), "
        "traceback.format_tb(sys.last_traceback)))\n1 / 0"
    ),
    # What it does in between.
    "classes of main are pickled": file(
        "import pickle\nclass A: pass\nprint(pickle.dumps(A()), type(pickle.loads(pickle.dumps(A()))) is A)"
    ),
    "classes of a main module are pickled": Case(
        ["-m", "program"], "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)"
    ),
    "its source is found": file("import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))"),
    "unittest": file(
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(1, 2)\nunittest.main()",
        "-v",
    ),
    "doctest": file("'''\n>>> 1 + 1\n3\n'''\nimport doctest\nprint(doctest.testmod())"),
    "argparse": file("import argparse\nargparse.ArgumentParser().parse_args()", "--help"),
    "warnings": file("import warnings\nwarnings.warn('old', DeprecationWarning)\nwarnings.warn('look')"),
    "futures of ours don't leak": file("def f(x: not_a_name): pass"),
    "latin-1": Case(
        ["latin.py"], files={"latin.py": "# coding: latin-1\nprint(ascii('\xe4'), '\\x41')".encode("latin-1")}
    ),
    "carriage returns": Case(
        ["crlf.py"], files={"crlf.py": b"def f():\r\n    return '''a\r\nb'''\r\nprint(ascii(f()))"}
    ),
    "standard input is its own": file("print(input(), input())", stdin="first\nsecond\n"),
}


def masked(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x…", re.sub(r"\d+\.\d+s", "…s", text))


def outcome(command: Sequence[str], case: Case, folder: Path) -> tuple[str, str, int]:
    done = subprocess.run(
        [sys.executable, *case.options, *command, *case.arguments],
        cwd=folder,
        input=case.stdin,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )
    return masked(done.stdout), masked(done.stderr), done.returncode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "link.py").symlink_to("folder/show.py")
    py_compile.compile(str(folder / "show.py"), cfile=str(folder / "compiled.pyc"))
    with zipfile.ZipFile(folder / "runnable.zip", "w") as archive:
        for name in ("__main__.py", "neighbour.py"):
            archive.write(folder / "runnable" / name, name)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_run_does_as_python_does(name: str, folder: Path) -> None:
    case = CASES[name]
    if sys.version_info < case.since:
        pytest.skip("this Python has no such thing")
    if case.source is not None:
        (folder / "program.py").write_text(case.source + "\n")
    for path, content in case.files.items():
        (folder / path).write_bytes(content)

    assert outcome(["-m", "forkful", "run"], case, folder) == outcome([], case, folder)


PROCESSES = """\
import concurrent.futures, multiprocessing, sys

class Point:
    def __init__(self, x): self.x = x

def double(point):
    return Point(point.x * 2), __name__, sys.argv[1:]

if __name__ == '__main__':
    context = multiprocessing.get_context(sys.argv[1])
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        point, name, argv = executor.submit(double, Point(21)).result()
        print(type(point) is Point, point.x, name, argv)
"""


CHILDREN = {
    f"{how} {method}": (command, method)
    for how, command in (("script", ["many.py"]), ("module", ["-m", "many"]), ("directory", ["folder"]))
    for method in ("fork", "spawn", "forkserver")
    # Under python, too, a directory's program is not imported again in a new interpreter, which then misses it.
    if how != "directory" or method == "fork"
}


@pytest.mark.parametrize("name", CHILDREN)
def test_child_processes_import_the_program(name: str, tmp_path: Path) -> None:
    command, method = CHILDREN[name]
    (tmp_path / "folder").mkdir()
    for path in ("many.py", "folder/__main__.py"):
        (tmp_path / path).write_text(PROCESSES)
    case = Case([*command, method])

    ours = outcome(["-m", "forkful", "run"], case, tmp_path)

    assert ours == outcome([], case, tmp_path)
    assert ours[0].startswith("True 42")
    assert ours[2] == 0


THREADS = """\
import asyncio, concurrent.futures, concurrent.futures.thread, sys
from concurrent.futures import ThreadPoolExecutor, as_completed, wait

print([x.__module__.partition('.')[0] for x in (
    ThreadPoolExecutor, concurrent.futures.ThreadPoolExecutor, concurrent.futures.thread.ThreadPoolExecutor,
    wait, as_completed)])

async def main():
    print(await asyncio.gather(*(asyncio.to_thread(pow, 2, n) for n in range(5))))
    print(type(asyncio.get_running_loop()._default_executor).__module__.partition('.')[0])

with ThreadPoolExecutor(2) as executor:
    futures = [executor.submit(pow, n, 2) for n in range(10)]
    print(sorted(future.result() for future in as_completed(futures)), len(wait(futures).done))
    print(list(executor.map(abs, range(-3, 0))))
    print(repr(executor.submit(lambda: 1 / 0).exception()))
asyncio.run(main())
"""


def test_the_program_is_on_forkful(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(THREADS)
    case = Case(["program.py"])

    stdout, stderr, status = outcome(["-m", "forkful", "run"], case, tmp_path)

    assert (stderr, status) == ("", 0)
    assert "'concurrent'" not in stdout and "'forkful'" in stdout
    assert stdout.replace("forkful", "concurrent") == outcome([], case, tmp_path)[0]


def test_a_signal_from_outside_ends_the_program_as_under_python(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
    for command in ([], ["-m", "forkful", "run"]):
        with subprocess.Popen(
            [sys.executable, *command, "program.py"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            running.send_signal(signal.SIGINT)
            _, stderr = running.communicate(timeout=WATCHDOG)
        # Which of its two last lines the signal finds it in is chance.
        assert re.findall(r'File "(.*)"', stderr) == [str(tmp_path / "program.py")]
        assert stderr.endswith("\nKeyboardInterrupt\n")
        assert running.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--version"], 0, r"forkful \d+\.\d+"),
        (["--help"], 0, "start an unchanged program"),
        (["run", "--help"], 0, r"-m module \[argument"),
        (["run"], 2, "a program is required"),
        (["run", "-m"], 2, "a program is required"),
        (["walk"], 2, "invalid choice"),
        ([], 2, "usage: python -m forkful"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_line(arguments: list[str], status: int, says: str, tmp_path: Path) -> None:
    stdout, stderr, returned = outcome(["-m", "forkful"], Case(arguments), tmp_path)

    assert returned == status
    assert re.search(says, stdout if status == 0 else stderr)
