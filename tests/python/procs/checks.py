"""The program of checks over what a task can use of the main module, in the forms in which programs are started.

It is text, as each form has its own way of becoming a main module.
"""

from __future__ import annotations

# Each block is what one would type at a prompt, or put into one cell of a notebook.
DEFINITIONS = """
import collections, dataclasses, enum, functools, multiprocessing, socket, sys, typing
import real

MODEL = None
OTHER = None
K = 1
CONFIG = {"x": 1}
LOCK = None

def init(lock):
    global MODEL, LOCK
    MODEL = "loaded"
    LOCK = lock
    globals()["OTHER"] = "loaded too"

def use_model():
    return MODEL

def use_other():
    return OTHER

def use_lock():
    got = LOCK.acquire(timeout=0.01)
    if got:
        LOCK.release()
    return got

def answer(end):
    end.send(end.recv() + 1)

def answer_socket(end):
    end.sendall(end.recv(100) + b"!")

def noted():
    error = Oops(3, 4)
    error.__notes__ = ["a note"]
    raise error

def grouped():
    raise ExceptionGroup("both", [Oops(5, 6), ValueError("x")])

def fact(n):
    return 1 if n <= 1 else n * fact(n - 1)

def even(n):
    return True if n == 0 else odd(n - 1)

def odd(n):
    return False if n == 0 else even(n - 1)

class Base:
    shared = "parent"
    def __init__(self, v):
        self.v = v
    def get(self):
        return self.v
    class Inner:
        pass

class Derived(Base):
    def get(self):
        return super().get() + 1

@dataclasses.dataclass
class Point:
    x: int
    y: int = 0

class Color(enum.Enum):
    RED = 1
    BLUE = 2

class Named(typing.NamedTuple):
    a: int

Tup = collections.namedtuple("Tup", "a b")

class Oops(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)
        self.a = a

def make_all():
    return Derived(1), Point(1, 2), Color.RED, Named(3), Tup(1, 2), Base.Inner()

def fail():
    raise Oops(1, 2)

def twice(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return 2 * fn(*args)
    return wrapper

@twice
def decorated(x):
    return x + K

@functools.lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def add(a, b):
    return a + b

COUNT = 0

def count():
    global COUNT
    COUNT += 1
    return COUNT

def mark():
    Base.shared = "worker"
    return Base(1)

def shared():
    return Base.shared

def use_k():
    return K

def use_config():
    return CONFIG["x"]

def redefined():
    return "old"

class Changing:
    def say(self):
        return "old"

def use_changing():
    return Changing().say()

def local_things():
    class Local:
        z = 5
        def get(self):
            return self.z + K
    return Local

def closure(n):
    def inner(x):
        return x + n + K
    return inner

def cyc():
    return Left.other.__name__, Right.other.__name__

class Left:
    pass

class Right(Left):
    other = Left

Left.other = Right
"""

CHECKS = """
METHOD = sys.argv[-1]
CONTEXT = multiprocessing.get_context({"zygote": "forkserver"}.get(METHOD, METHOD))
SHARED = CONTEXT.RLock()
pool = real.Pool(METHOD, init, (SHARED,))
print("mode", pool.mode)

def check(name, got, wanted):
    if got != wanted:
        print("WRONG", name, got, wanted)
    else:
        print("right", name)

check("initializer", pool(use_model), "loaded")
check("globals()", pool(use_other), "loaded too")

def excluded():
    with SHARED:
        return pool(use_lock)

check("lock", (pool(use_lock), excluded(), pool(use_lock)), (True, False, True))
ENDS = multiprocessing.Pipe()
ENDS[0].send(41)
check("connection", (pool(answer, ENDS[1]), ENDS[0].recv()), (None, 42))
SOCKETS = socket.socketpair()
SOCKETS[0].sendall(b"hi")
check("socket", (pool(answer_socket, SOCKETS[1]), SOCKETS[0].recv(100)), (None, b"hi!"))
check("recursion", pool(fact, 5), 120)
check("mutual", pool(even, 10), True)
things = pool(make_all)
check("classes", [type(t) for t in things], [Derived, Point, Color, Named, Tup, Base.Inner])
check("values", things[1:5], (Point(1, 2), Color.RED, Named(3), Tup(1, 2)))
check("members", (things[0].get(), things[2] is Color.RED), (2, True))

def caught():
    try:
        pool(fail)
    except Oops as error:
        return error.a, error.args, "in fail" in str(error.__cause__)

check("exception", caught(), (1, (1, 2), True))

def caught_note():
    try:
        pool(noted)
    except Oops as error:
        return error.args, error.__notes__

check("note", caught_note(), ((3, 4), ["a note"]))

def caught_group():
    try:
        pool(grouped)
    except ExceptionGroup as group:
        return group.message, [type(error) for error in group.exceptions], group.exceptions[0].args

GROUP = ("both", [Oops, ValueError], (5, 6))
check("group", caught_group() if sys.version_info >= (3, 11) else GROUP, GROUP)
check("decorated", pool(decorated, 1), 4)
check("lru_cache", [pool(fib, 20), pool(lambda: fib.cache_info().currsize > 1)], [6765, True])
check("partial", pool(functools.partial(add, 1), 2), 3)
check("method", pool(Derived(4).get), 5)
check("lambda", pool(lambda x: x + K, 1), 2)
check("closure", [pool(closure(i), 1) for i in (5, 5, 6, 5)], [7, 7, 8, 7])
check("state", [pool(count), pool(count)], [1, 2])
back = pool(mark)
check("class attribute", (Base.shared, back.shared, pool(shared), type(back) is Base), ("parent", "parent", "worker", True))
check("cycle", pool(cyc), ("Right", "Left"))
check("before", (pool(use_k), pool(use_config), pool(redefined), pool(use_changing)), (1, 1, "old", "old"))
K = 50
check("changed global", (pool(use_k), pool(decorated, 1), pool(lambda: K)), (50, 102, 50))
CONFIG["x"] = 9
check("mutated global", pool(use_config), 9)

def redefined():
    return "new"

check("redefined function", (pool(redefined), pool(lambda: redefined())), ("new", "new"))

class Changing:
    def say(self):
        return "new"

check("redefined class", (pool(use_changing), type(pool(Changing)) is Changing), ("new", True))
L = local_things()
one = pool(L)
check("local class", (pool(L().get), type(one) is L, one.get()), (55, True, 55))
check("defaults", [pool(lambda a=a: a) for a in ([1], [1], [2], {"b": L})], [[1], [1], [2], {"b": L}])
size = pool.entries()
check("unchanged", (pool(use_k), pool(redefined), pool(use_changing), pool(decorated, 1)), (50, "new", "new", 102))
check("sent once", pool.entries(), size)
check("result lambda", pool(lambda: lambda x: x + K)(1), 51)
check("worker kept", (pool(use_model), pool(count)), ("loaded", 3))
MODEL = "changed"
check("later change", (pool(use_model), pool(count)), ("changed", 4))
pool.executor.shutdown()
print("end")
"""

NAMES = CHECKS.count("\ncheck(")


def guarded() -> str:
    body = "".join(f"    {line}\n" if line else "\n" for line in CHECKS.splitlines())
    return f"{DEFINITIONS}\nif __name__ == '__main__':\n{body}"


def unguarded() -> str:
    return DEFINITIONS + CHECKS


def blocks() -> list[str]:
    """The program statement by statement: for prompts and cells."""
    import ast

    text = unguarded()
    lines = text.splitlines()
    found = []
    for node in ast.parse(text).body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        found.append("\n".join(lines[first - 1 : node.end_lineno]))
    return found
