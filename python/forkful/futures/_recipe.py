"""How the nursery of one process pool is made, and how workers are sent for.

Knows: the pool's compiled part, weakly. Does not know: its executor.
"""

from __future__ import annotations

import os
import threading
import weakref
from functools import partial
from typing import Any

from forkful import _blas, _engine, _worker
from forkful._encode import Encoder
from forkful._errors import explained
from forkful._guard import main_mode
from forkful._launch import launch
from forkful._request import recapture

from . import _completer

# Descriptors that two workers and their nursery take here, and one to spare. What starts with copies of ours needs fewer.
_ROOM = {"fork": 8, "zygote": 14, "spawn": 14}


class Recipe:
    """Called whenever a nursery or a request is wanted, by the thread that submits or by the completer."""

    def __init__(
        self, crew: _engine.ProcessCrew, method: str, preload: tuple[str, ...], request: dict[str, Any]
    ) -> None:
        self._crew = weakref.ref(crew)
        self._method = method
        self._preload = preload
        self._request = request
        # A signal handler, or a finalizer that a collection runs, may submit while its thread holds this.
        self._lock = threading.RLock()
        self._busy = False
        self._fresh = False
        """Whether what was captured for the nursery is what a worker is to have, as it was captured a moment ago."""
        self.mode: Any = main_mode(method)

    def equip(self, encoder: Encoder) -> None:
        """Takes note of how calls are encoded: the start of a worker is encoded in the same way."""
        self._encoder = encoder
        self._request.update(encoder.request())

    def __call__(self) -> None:
        """Makes the nursery, in the calling thread, if there is none; sends for the workers that have been asked for."""
        while True:
            with self._lock:
                crew = self._crew()
                if crew is None or self._busy:
                    return  # what this call was for, the one that it has interrupted will do
                self._busy = True
                try:
                    self._serve(crew)
                finally:
                    self._busy = False
            if not crew.has_asked():
                return

    def _serve(self, crew: _engine.ProcessCrew) -> None:
        launched = crew.needs_launch()
        if launched:
            try:
                self._launch(crew)
            except OSError as error:
                raise explained("the process that starts workers can't be started", error) from error
        if crew.has_asked():
            self._send(crew)
        if launched:
            # After the fork, whose child has one thread then, and while the worker is on its way.
            try:
                _completer.send()
            except BaseException as error:
                crew.break_down(f"the thread that serves pools can't be started: {error}")
                raise

    def _launch(self, crew: _engine.ProcessCrew) -> None:
        # Said here and now, to whoever submits; what turns out to be lacking later ends in futures and warnings.
        crew.check_room(_ROOM[self._method])
        request = dict(self._request)
        start = None
        if self._method == "fork":
            request["link"] = crew.link()
            self._encoder.forked()
            if request["threads"] is not None and _blas.is_loaded():
                _blas.look()  # once for all workers of all pools, which inherit what it found
        else:
            parts = request.pop("initializer"), request.pop("initargs"), request.pop("finalizer")
            if parts[0] is not None or parts[2] is not None:
                start = partial(self._encoder.encode_start, *parts)
        method: Any = self._method
        made = launch(method, request, run=_worker.main, preload=self._preload, main=self.mode, start=start)
        self._fresh = True
        crew.nursery(made.control, made.pid, made.pidfd, made.request, made.needs_fds, list(made.extra_fds))

    def _send(self, crew: _engine.ProcessCrew) -> None:
        """Sends each worker on its way with the environment of this moment, as the standard library does."""
        request = None
        try:
            request = crew.request()
            if request is not None and not self._fresh:
                before, request = request, None
                try:
                    request = recapture(before)
                finally:
                    os.close(before)
            self._fresh = False
            crew.send_asked(request)
        except OSError as error:
            crew.refuse_asked(str(explained("its request can't be made", error)))
        except Exception as error:
            crew.refuse_asked(f"its request can't be made: {type(error).__name__}: {error}")
        finally:
            if request is not None:
                os.close(request)
