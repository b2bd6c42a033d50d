"""Keeps the main module's namespace in the workers as it is in the parent, a name at a time.

The parent notes which names its tasks use. A name whose value a worker can't have, as its main module was never imported, or
was changed since, goes into the pool's library as a *definition*, once for each change. A worker takes definitions in order.

Knows: ByValue. Does not know: tasks, the library's transport.
"""

from __future__ import annotations

import io
import itertools
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from forkful import _engine
from forkful._byvalue import ByValue
from forkful._guard import Mode, bound_names
from forkful._parcel import ForTask
from forkful._received import HEADER
from forkful._scope import ABSENT, main_scope
from forkful._unchanged import Check, snapshot, used_names

__all__ = ["Carrying", "Define", "Namespace", "Plan"]

Define = Callable[[bytes], "int | None"]
Parcel = _engine.Parcel

# What IPython puts there for itself: it drags a database connection along, and a session's whole history.
_IPYTHON = frozenset({"get_ipython", "In", "Out", "_", "__", "___", "_ih", "_oh", "_dh", "exit", "quit"})


class _Name:
    """What is known of one name: how to see that it is unchanged, what it needs, where its definition is."""

    __slots__ = ("body", "check", "definitions", "first", "inline", "needs", "needs_first", "parcel", "sent", "version")

    def __init__(self, check: Check, needs: frozenset[str]) -> None:
        self.check = check
        self.needs = needs
        self.needs_first: frozenset[str] = frozenset()
        self.body: bytes | None = None
        """Its definition, until that is sent."""
        self.parcel: Parcel | None = None
        """The file descriptors that it names."""
        self.first = False
        """The worker may have bound it by itself, and then keeps that."""
        self.sent = False
        self.version = 0
        self.definitions = 0
        self.inline: bytes | None = None
        """The whole definition, if the library had no room for it, or it names file descriptors: then it goes with each task."""


class Carrying(bytes):
    """A definition that names file descriptors; in a pickle it is its bytes."""

    parcel: Parcel

    def __reduce__(self) -> Any:
        return bytes, (bytes(self),)


class Plan:
    """The names that something needs, with all that these need."""

    __slots__ = ("builds", "checks", "definitions", "inline", "names")

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.checks: list[tuple[str, Check]] | None = None
        self.definitions = 0
        self.inline: list[bytes] = []
        self.builds = 0


class Namespace:
    """The parent's side."""

    def __init__(self, define: Define, mode: Mode) -> None:
        self._define = define
        self._mode = mode
        self._main = main_scope()
        self._names: dict[str, _Name] = {}
        self._start: dict[str, Check] | None = None
        """What the workers' main module had from the start; None: not known yet, so nothing can differ from it."""
        self._present: frozenset[str] = frozenset()
        """The names that are bound there from the start, to what this process knows."""
        self.unsure: frozenset[str] = frozenset()
        """Names that a worker's import of the main module may bind to something else than they are bound to here."""
        self._versions = itertools.count(1)
        self._plans: dict[frozenset[str], Plan] = {}
        self._lock = threading.RLock()
        self._skipped = _IPYTHON if "get_ipython" in self._main else frozenset()
        if mode == "imported":
            self._note_import()
        elif mode == "by-value":
            self._start = {}

    @property
    def main(self) -> dict[str, Any]:
        """The namespace of the parent's main module."""
        return self._main

    def forked(self) -> None:
        """Takes the present state as what the workers have. Only the first time: of what came later they hear as it changes."""
        with self._lock:
            if self._start is None:
                self._start = {name: snapshot(value) for name, value in list(self._main.items())}
                self._present = frozenset(self._start)

    def _note_import(self) -> None:
        bound = bound_names(sys.modules["__main__"])
        # An import binds what the source binds at its top level; what functions rebind may be anything by now.
        self.unsure = bound.guarded | bound.declared if bound else frozenset()
        self._start = {name: snapshot(value) for name, value in list(self._main.items()) if name not in self.unsure}
        self._present = frozenset(self._start)

    def settled(self, name: str) -> Any:
        """The value of a name whose present value the workers have had from the start, else ABSENT."""
        value = self._main.get(name, ABSENT)
        if self._start is not None and (self.version(name) or not self._start.get(name, _never)(value)):
            return ABSENT
        return value

    def version(self, name: str) -> int:
        """The number of a name's latest definition, 0 if none was sent."""
        known = self._names.get(name)
        return 0 if known is None else known.version

    def plan(self, names: Iterable[str]) -> Plan:
        """The plan for these names."""
        key = frozenset(names)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= 1024:
                self._plans.clear()
            plan = self._plans[key] = Plan(key)
        return plan

    def ensure(self, plan: Plan) -> None:
        """Sends definitions of what has changed, and brings the plan up to date."""
        checks = plan.checks
        if checks is not None:
            main = self._main
            for name, check in checks:
                if not check(main.get(name, ABSENT)):
                    break
            else:
                return
        elif self._start is None:
            return  # the fork is still to come, and takes everything along
        with self._lock:
            self._build(plan)

    def _build(self, plan: Plan) -> None:
        known: dict[str, _Name] = {}
        todo = list(plan.names)
        while todo:
            name = todo.pop()
            if name in known or name in self._skipped:
                continue
            value = self._main.get(name, ABSENT)
            entry = self._names.get(name)
            if entry is None or not entry.check(value):
                entry = self._examine(name, value, entry)
            known[name] = entry
            todo.extend(entry.needs)
        for group in _groups({name: entry for name, entry in known.items() if entry.body is not None}):
            self._send(group, known)
        for name, entry in known.items():
            self._names[name] = entry
        plan.definitions = max((entry.definitions for entry in known.values()), default=0)
        inline = {entry.version: entry.inline for entry in known.values() if entry.inline is not None}
        plan.inline = list(dict.fromkeys(inline[version] for version in sorted(inline)))
        plan.checks = [(name, entry.check) for name, entry in known.items()]
        plan.builds += 1

    def _examine(self, name: str, value: Any, before: _Name | None) -> _Name:
        if value is ABSENT:
            # Not bound here, or no more: a builtin, or something that the worker's code binds.
            return self._keep(_Name(lambda now: now is ABSENT, frozenset()), before)
        assert self._start is not None
        start = self._start.get(name)
        if before is None and start is not None and start(value):
            return _Name(start, used_names(value, self._main))
        file = io.BytesIO()
        pickler = self._pickler(file, frozenset({name}))
        try:
            with ForTask() as carrier:
                pickler.dump((value,))
        except Exception as error:
            if self._mode != "by-value":
                # As with the standard library, the worker has what it has from its start, if anything.
                return self._keep(_Name(lambda now: now is value, frozenset()), before)
            # Of the same type, for those who expect it; some can't be made from a text.
            kind = type(error) if type(error) in (TypeError, AttributeError, RuntimeError) else pickle.PicklingError
            raise kind(
                f"global {name!r} of __main__, which the task uses, can't be sent to a worker: {error}"
            ) from error
        entry = _Name(snapshot(value), frozenset(pickler.first | pickler.later) - {name})
        entry.needs_first = frozenset(pickler.first)
        entry.body, entry.parcel = file.getvalue(), carrier.parcel
        entry.first = (before is None or not before.sent) and name not in self._present
        return entry

    def _keep(self, entry: _Name, before: _Name | None) -> _Name:
        if before is not None:
            entry.sent, entry.version, entry.definitions = before.sent, before.version, before.definitions
            entry.inline = before.inline
        return entry

    def _pickler(self, file: io.BytesIO, defining: frozenset[str]) -> ByValue:
        return ByValue(file, defining=defining, here=self._mode == "inherited")

    def _send(self, group: list[str], known: dict[str, _Name]) -> None:
        body, parcel = known[group[0]].body, known[group[0]].parcel
        if len(group) > 1:
            # They need each other, so they are loaded together.
            file = io.BytesIO()
            with ForTask() as carrier:
                self._pickler(file, frozenset(group)).dump(tuple(self._main[name] for name in group))
            body, parcel = file.getvalue(), carrier.parcel
        assert body is not None
        versions = [next(self._versions) for _ in group]
        header = pickle.dumps(
            [(name, version, known[name].first) for name, version in zip(group, versions, strict=True)], 5
        )
        definition = b"".join((b"D", HEADER.pack(len(header)), header, body))
        number = None
        if parcel is None:
            number = self._define(definition)
        else:
            # The library is for ever, and descriptors are few: an older definition's live as long as tasks that were given it.
            definition = Carrying(definition)
            definition.parcel = parcel
        for name, version in zip(group, versions, strict=True):
            entry = known[name]
            entry.version, entry.sent, entry.body, entry.parcel = version, True, None, None
            if number is None:
                entry.inline = definition
            else:
                entry.definitions = number + 1


def _groups(names: dict[str, _Name]) -> Iterator[list[str]]:
    """The names in an order in which each comes after what it needs first; those that need each other as one (Tarjan)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in names:
        if root in order:
            continue
        walk: list[tuple[str, Iterator[str]]] = []

        def enter(name: str, walk: list[tuple[str, Iterator[str]]] = walk) -> None:
            order[name] = lowest[name] = len(order)
            stack.append(name)
            on_stack.add(name)
            walk.append((name, iter(sorted(names[name].needs_first))))

        enter(root)
        while walk:
            name, needs = walk[-1]
            for need in needs:
                if need not in names:
                    continue
                if need not in order:
                    enter(need)
                    break
                if need in on_stack:
                    lowest[name] = min(lowest[name], order[need])
            else:
                walk.pop()
                if walk:
                    lowest[walk[-1][0]] = min(lowest[walk[-1][0]], lowest[name])
                if lowest[name] == order[name]:
                    group = stack[stack.index(name) :]
                    del stack[len(stack) - len(group) :]
                    on_stack.difference_update(group)
                    yield group


def _never(_: Any) -> bool:
    return False
