"""What every script about forks begins with, and how it is run."""

import textwrap

from child import run_clean

PRELUDE = """
import gc, multiprocessing, os, sys, threading, time, warnings
# From 3.12 on a fork beside threads is warned of, and that is what is tested here.
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
from subject import BrokenThreadPool, Future, ThreadPoolExecutor, futures

def raises(kind, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind.__name__} was not raised")

def in_child(function):
    "Runs `function` in a forked child and waits for its good end."
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def run_forking(script):
    """Runs a script after the prelude; it must end well and quietly."""
    return run_clean(PRELUDE + textwrap.dedent(script))
