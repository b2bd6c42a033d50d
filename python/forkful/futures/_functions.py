"""What an executor that chooses for itself knows of each function: which one it is, what it cost, what was decided.

Knows: the policy. Does not know: pools, threads, who holds the calls that wait for a decision.
"""

from __future__ import annotations

import heapq
import time
import types
import weakref
from dataclasses import dataclass
from typing import Any

from forkful import _engine
from forkful._gil import GilUse

from ._policy import Alone, Seen, Verdict

__all__ = ["Decision", "Function", "Functions", "subject"]

_MOST = 1024
"""Functions that are remembered; past them the one that was met first is forgotten."""
_FEW = 4
"""Calls that are compared with those by which it was decided."""
_LONG = 0.05
"""Seconds of calls that are worth a look, however few they are."""
_HEAVY = 200e-6
"""Seconds from which on a call is worth its measurement, of half a microsecond, each time."""
_AGAIN = 16
"""Calls after which a decision that rests on little is looked at once more."""
_RARELY = 64
"""Of so many small calls one is measured."""
_SELDOM = 256
"""The same of tiny ones: a look takes 2 us, which at 64 was the fifth part of what a pool of threads takes for such a call."""
_TINY = 20e-6
"""Seconds below which a call is that."""
_PROBES = 6
"""Calls in a process by which it must be decided."""
_SURE = 0.2
"""How far the share of the time in which the lock is held may be off."""
_ASKS = 6
"""How often the lock must have been asked for before the answer counts."""
_MANY_ASKS = 12
"""The same where less than half of a call's time was looked at."""


@dataclass(frozen=True)
class Decision:
    """What an AutoExecutor has decided of one function, and by what. Times are in seconds a call."""

    function: str
    """Its qualified name, with its module."""
    place: str
    """"threads" or "processes"; "learning" as long as it is not known."""
    reason: str
    """Why, in a sentence."""
    threads: int
    """Its calls that were sent to threads."""
    processes: int
    """Its calls that were sent to processes."""
    wall: float | None
    """What a call took from beginning to end, by which it was decided; None if none was measured."""
    cpu: float | None
    """The CPU time that its thread used of that."""
    lock: float | None
    """The share of that time in which the interpreter's lock was held, 0 to 1: in a process by the call alone, else by
    anybody. None
    if it did not matter."""
    shipping: float | None
    """What it cost to pickle a call's arguments and result; None if that did not matter."""
    decided: float | None
    """When, as `time.time()` says it."""
    changes: int
    """How often it was learned anew, as the function had changed."""


class Function:
    """One function's calls: those that wait for a decision, what the others cost."""

    def __init__(self, name: str, reference: Any) -> None:
        self.name = name
        self.reference = reference
        self.place: str | None = None
        self.reason = ""
        self.fixed = False
        """It is not looked at again."""
        self.example: Any = None
        """The function itself, until it is decided."""
        self.here = _engine.Gauge()
        self.there = _engine.Gauge()
        self.held: list[tuple[int, int, Any, Any]] = []
        """(priority, turn, future, way): a heap."""
        self.width = 1
        """Calls that threads may have before it is decided."""
        self.out = 0
        """Calls that they have, and that it will be decided by."""
        self.out_since = 0.0
        self.probing = False
        """It is found out in a process."""
        self.probes = 0
        """Calls on their way there."""
        self.asking = False
        """The next call in a thread is to be seen with the lock."""
        self.sent = [0, 0]
        """Calls in threads, in processes, but for those that `route` and `left` count."""
        self.period = 1
        """One of so many calls is looked at."""
        self.route = _engine.Route()
        """To threads, for those that are not."""
        self.left = 0
        """The same to processes."""
        self.decided: float | None = None
        self.changes = 0
        self.patience = _FEW
        """Calls that must have been measured before it is learned anew."""
        self.seen: Seen | None = None
        self.alone: Alone | None = None
        self.unsent = 0
        self.settled = False
        """It needs no second look; of what computes the first may have been taken on a busy machine."""
        self._base = (0, 0.0, 0.0)
        self._decided_at = 0
        self._probed: list[tuple[float, float, float]] = []
        self._use = GilUse(0.0, 0.0, 0, 0)

    # Calls that wait

    def hold(self, turn: int, future: Any, way: Any) -> None:
        """Has a call wait; smaller turns come first."""
        heapq.heappush(self.held, (way.priority, turn, future, way))

    def head(self) -> tuple[int, int]:
        """The priority and the turn of the next one; (0, 0) if none waits."""
        return self.held[0][:2] if self.held else (0, 0)

    def next_held(self) -> tuple[Any, Any]:
        """The next one that waits, and in which way it is to be run."""
        _, _, future, way = heapq.heappop(self.held)
        return future, way

    def rest(self) -> None:
        """Keeps nothing of its user's alive while no call of it is under way."""
        if not self.held and not self.out and not self.probes:
            self.example = None

    # What they cost

    def measured(self) -> int:
        """Calls in threads that it is known by."""
        return int(self.here.read()[0] - self._base[0])

    def measured_here(self) -> Seen | None:
        """What calls in threads have cost since this was learned or looked at last."""
        return self._since(self.here)

    def _since(self, gauge: _engine.Gauge) -> Seen | None:
        calls, wall, cpu = (now - then for now, then in zip(gauge.read(), self._base, strict=True))
        return Seen(wall / calls, cpu / calls) if calls else None

    def add_probe(self, wall: float, cpu: float, use: tuple[float, float, int, int], shipping: float) -> bool:
        """Takes in what a call took alone; whether that is enough."""
        self._probed.append((wall, cpu, shipping))
        self._use = GilUse(*(a + b for a, b in zip(vars(self._use).values(), use, strict=True)))
        found = self._use
        # On a busy machine whoever asks comes late, and has seen little of a short call.
        late = found.elapsed < 0.5 * sum(wall for wall, _, _ in self._probed) and found.asks < _MANY_ASKS
        unsure = found.asks < _ASKS or found.margin > _SURE or late
        if unsure and len(self._probed) < _PROBES:
            return False
        calls = len(self._probed)
        wall, cpu, shipping = (sum(figures) / calls for figures in zip(*self._probed, strict=True))
        # Most that computes has the lock while it does, or not at all: it has it as far as that may be, and where nothing is
        # known, as its calls are too short.
        computes = min(1.0, cpu / wall) if wall > 0 else 1.0
        # Time of waiting for a CPU, with the lock given up before, is looked at as well, and not in `wall`.
        scale = found.elapsed / max(1e-9, min(found.elapsed, wall * calls))
        held, margin = min(1.0, found.share * scale), min(0.5, found.margin * scale)
        self.settled = self.settled or not late
        blind = late or found.asks < _ASKS
        if blind or held + margin >= computes:
            held = max(held, computes)
        self.alone = Alone(wall, cpu, held, shipping, not blind)
        return True

    # What was decided

    def decide(self, verdict: Verdict, fixed: bool = False) -> None:
        """From now on its calls go there."""
        self.place, self.reason, self.fixed = verdict.place, verdict.reason, fixed
        self.decided = time.time()
        self.probing = self.asking = False
        self.example = None
        self.period = 1
        self._base = self._gauge().read()
        self._decided_at = self._base[0]

    def _gauge(self) -> _engine.Gauge:
        return self.there if self.place == "processes" else self.here

    def look(self, has_changed: Any) -> bool:
        """Looks at what the calls have cost since: whether it is to be learned anew."""
        gauge = self._gauge()
        read = gauge.read()
        if not self.settled and not self.fixed:
            figures = self.alone or self.seen
            # What waits, or is small, is told without the lock.
            self.settled = figures is None or figures.cpu < max(_HEAVY, 0.2 * figures.wall)
            if not self.settled and read[0] - self._decided_at >= _AGAIN:
                self.settled = True
                self.changes -= 1  # it has not changed
                self.patience //= 2
                return True
        calls, wall = read[0] - self._base[0], read[1] - self._base[1]
        if self.fixed:
            self.period = min(_SELDOM, 2 * self.period)
            return False
        if not calls:
            return False
        most = _SELDOM if wall / calls < _TINY else _RARELY
        self.period = 1 if wall / calls >= _HEAVY else min(most, 2 * self.period)
        if calls < self.patience and (wall < _LONG or self.patience > _FEW):
            return False
        now = self._since(gauge)
        self._base = read
        before = self.alone if self.alone is not None and self.place == "processes" else self.seen
        return before is not None and now is not None and bool(has_changed(before, now, self.place))

    def go_on(self) -> None:
        """Lets calls pass until the next one that is looked at."""
        if self.place == "threads":
            self.route.open(self.period - 1)
        else:
            self.left = self.period - 1

    def passed(self) -> list[int]:
        """Calls in threads, in processes, since they were let pass or are looked at."""
        if self.place == "threads":
            return [max(0, self.period - 1 - self.route.left()), 0]
        return [0, max(0, self.period - 1 - self.left) if self.place == "processes" else 0]

    def told_sent(self) -> list[int]:
        """Calls in threads, in processes, until now."""
        return [known + passed for known, passed in zip(self.sent, self.passed(), strict=True)]

    def reopen(self) -> None:
        """Learns it anew. The next time it takes more calls to be believed: it may well be one whose calls differ."""
        self.changes += 1
        self.patience = min(1024, 2 * self.patience)
        self.place, self.reason = None, ""
        self.route.close()
        self.width, self.probing, self.asking = 1, False, False
        self.seen = self.alone = None
        self.unsent = 0
        self._probed.clear()
        self._use = GilUse(0.0, 0.0, 0, 0)
        self._base = self.here.read()

    def told(self) -> Decision:
        """For whoever asks."""
        sent = self.told_sent()
        seen, alone = self.seen, self.alone
        figures: Any = alone or seen
        lock = (alone.held if alone.sure else None) if alone is not None else seen.lock if seen is not None else None
        return Decision(
            function=self.name,
            place=self.place or "learning",
            reason=self.reason or "its first calls are being measured",
            threads=sent[0],
            processes=sent[1],
            wall=None if figures is None else figures.wall,
            cpu=None if figures is None else figures.cpu,
            lock=lock,
            shipping=None if alone is None else alone.shipping,
            decided=self.decided,
            changes=self.changes,
        )


class Functions(dict[int, Function]):
    """By the identity of what they are known by, which nobody here keeps alive."""

    def __init__(self) -> None:
        super().__init__()
        self.table = _engine.RouteTable()
        """The same for calls that need not be looked at."""

    def of(self, known_by: Any, fn: Any) -> Function:
        """What is known of this one."""
        number = id(known_by)
        found = self.get(number)
        if found is None:
            if len(self) >= _MOST:
                self._forget_one()
            ours = weakref.ref(self)

            def forget(_: Any) -> None:
                table = ours()
                if table is not None:
                    table.table.forget(number)
                    table.pop(number, None)

            try:
                reference: Any = weakref.ref(known_by, forget)
            except TypeError:
                reference = known_by  # it can't be watched, so it is kept, that its number means nobody else
            found = self[number] = Function(_name(fn), reference)
            self.table.put(number, found.route)
        return found

    def _forget_one(self) -> None:
        for number, function in self.items():
            if not function.held and not function.out and not function.probes:
                self.table.forget(number)
                del self[number]
                return


def subject(fn: Any) -> Any:
    """What a callable is known by: the code of a function, however often a closure over it is made; a partial's function, a
    method's; an object's class.

    What that is lives as long as it is in use: a key that came and went would be learned each time.
    """
    for _ in range(20):
        if type(fn) is types.FunctionType:
            return fn.__code__
        if isinstance(fn, types.MethodType):
            fn = fn.__func__
        elif isinstance(getattr(fn, "func", None), types.FunctionType | types.BuiltinFunctionType | types.MethodType):
            fn = fn.func
        else:
            break
    if isinstance(fn, types.BuiltinFunctionType) and not isinstance(fn.__self__, (types.ModuleType, type(None))):
        # Made anew whenever somebody asks an object for its method.
        owner = fn.__self__ if isinstance(fn.__self__, type) else type(fn.__self__)
        return vars(owner).get(fn.__name__, owner)
    if isinstance(fn, (type, types.BuiltinFunctionType)) or hasattr(fn, "__wrapped__"):
        return fn
    return type(fn)


def _name(fn: Any) -> str:
    for _ in range(20):
        name = getattr(fn, "__qualname__", None)
        if isinstance(name, str):
            module = getattr(fn, "__module__", None)
            return f"{module}.{name}" if isinstance(module, str) else name
        if not hasattr(fn, "func"):
            break
        fn = fn.func
    return f"{type(fn).__module__}.{type(fn).__qualname__}"
