"""The process that bears a pool's workers: a forked template, or an exec'ed zygote or launcher, by one protocol.

Knows: sockets, pidfds and fork. Does not know: what a worker does once it lives (`_child`), and who asks for it.

The nursery has one thread and one loop. It ends when the parent's pidfd says that the parent is gone: end-of-file alone
would not do, since an unrelated fork of the parent may hold a copy of the socket. Its workers end with it, by the kernel.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import pickle
import select
import signal
import sys
from collections import deque
from multiprocessing import resource_tracker, util

from . import _blas, _kernel
from ._child import (
    Berth,
    Birth,
    become_worker,
    complain,
    die_with,
    forget_half_imports,
    forget_parent,
    from_request,
    put_aside_handlers,
    split,
    threads_here,
)
from ._line import EXITED, FAILED, KILL, NOTE, READY, START, STARTED, Line, close
from ._preload import preload, stand_on_devnull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

# What is imported afterwards waits until nobody has asked for anything for so many milliseconds.
_LULL = 30


class _Worker:
    def __init__(self, pid: int, pidfd: int, line: Line, asked: tuple[int, int]) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.line = line
        self.asked = asked


class Nursery:
    """The loop. `bear` runs in the newborn child and never returns."""

    def __init__(
        self, parent: int, bear: Callable[[Berth, list[int]], NoReturn], least: int, *, tied: bool = True
    ) -> None:
        self._parent = parent
        self._tied = tied
        """Whether workers end with this process, and with the pool that has asked for them."""
        self._die_with = die_with()
        self._bear = bear
        self._least = least
        """How many descriptors a START must bring."""
        self._execs = False
        self._trouble = ""
        self._notes: list[str] = []
        self._afterwards: deque[str] = deque()
        self._master: Line | None = None
        self._lines: dict[int, Line] = {}
        self._workers: dict[int, _Worker] = {}
        self._poll = select.poll()
        self._poll.register(parent, select.POLLIN)

    def configure(
        self, *, master: int, execs: bool, trouble: str, notes: Iterable[str], afterwards: Iterable[str]
    ) -> None:
        """What only an exec'ed nursery has: a socket on which pools join, and things to say.

        `afterwards` names modules that are imported when the first worker is on its way, so that later ones have them.
        """
        self._afterwards = deque(afterwards)
        self._master = Line(master)
        self._poll.register(master, select.POLLIN)
        self._execs, self._trouble, self._notes = execs, trouble, list(notes)

    def attach(self, control: int) -> None:
        line = Line(control)
        self._lines[line.fd] = line
        for note in self._notes:
            line.send(NOTE.pack(ord("n")) + note.encode(errors="replace"))
        self._notes.clear()
        line.send(READY.pack(ord("r")))
        self._watch(line)

    def serve(self) -> NoReturn:
        while self._master is not None or self._lines:
            ready = self._poll.poll(_LULL if self._afterwards and self._workers else None)
            for fd, events in ready:
                if fd == self._parent:
                    self._perish()
                elif fd in self._workers:
                    self._reap(self._workers[fd])
                elif fd in self._lines:
                    self._serve_line(self._lines[fd], events)
                elif self._master is not None and fd == self._master.fd:
                    self._join(self._master)
            if not ready:
                self._import_one()
        os._exit(0)

    def _import_one(self) -> None:
        """One at a time, so that a request waits for one at most."""
        try:
            importlib.import_module(self._afterwards.popleft())
        except BaseException:
            pass  # whoever needs it will say so
        if not self._afterwards:
            gc.collect()
            gc.freeze()

    def _perish(self) -> NoReturn:
        # The kernel does it as well, but not to a worker that has changed its credentials.
        for worker in self._workers.values() if self._tied else ():
            kill(worker.pidfd)
        os._exit(0)

    def _join(self, master: Line) -> None:
        message = master.receive()
        if message is None:
            return
        data, fds, _ = message
        if not data:
            # The parent has closed it, by exec for example: no more pools, and those that are here may finish.
            self._poll.unregister(master.fd)
            master.close()
            self._master = None
        elif data[0] == ord("A") and len(fds) == 1:
            self.attach(fds[0])
        else:
            close(fds)

    def _serve_line(self, line: Line, events: int) -> None:
        if events & select.POLLOUT:
            line.flush()
        # POLLHUP without POLLIN too: it is how the end of the peer shows.
        if events & ~select.POLLOUT:
            message = line.receive()
            if message is not None:
                self._obey(line, *message)
        self._watch(line)

    def _obey(self, line: Line, data: bytes, fds: list[int], lost: bool) -> None:
        try:
            if not data:
                line.deaf = line.quitting = True
                for worker in self._workers.values():
                    if worker.line is line and self._tied:
                        kill(worker.pidfd)
            elif data[0] == ord("Q"):
                line.quitting = True
            elif data[0] == ord("S") and len(data) == START.size:
                _, index, generation = START.unpack(data)
                if not line.quitting:
                    self._start(line, index, generation, fds, lost)
            elif data[0] in b"KW" and len(data) == KILL.size:
                # The pool could take no descriptor of that worker, and its number may be another process's by now.
                _, index, generation = KILL.unpack(data)
                for worker in self._workers.values():
                    if worker.line is not line or worker.asked != (index, generation):
                        continue
                    if data[0] == ord("K"):
                        kill(worker.pidfd)
                    else:
                        line.send(STARTED.pack(ord("s"), index, generation, worker.pid), (worker.pidfd,))
        finally:
            close(fds)

    def _watch(self, line: Line) -> None:
        """Ask the kernel for what this line is waiting for; let it go when that is nothing more."""
        if line.quitting and not line.children and (line.deaf or not line.waiting):
            self._ignore(line)
            del self._lines[line.fd]
            line.close()
        elif line.deaf:
            # Its hang-up would be reported without end.
            self._ignore(line)
        else:
            self._poll.register(line.fd, select.POLLIN | (select.POLLOUT if line.waiting else 0))

    def _ignore(self, line: Line) -> None:
        try:
            self._poll.unregister(line.fd)
        except KeyError:
            pass

    def _start(self, line: Line, index: int, generation: int, fds: list[int], lost: bool) -> None:
        try:
            if self._trouble:
                raise RuntimeError(self._trouble)
            if lost or len(fds) < self._least:
                if not lost:
                    raise RuntimeError(f"a worker needs {self._least} descriptors, {len(fds)} came")
                raise OSError(errno.EMFILE, "recvmsg: the nursery has no room for the worker's descriptors")
            berth = Berth(index, generation, fds[1], *fds[2:4])
            pid = self._exec(berth, fds) if self._execs else self._fork(berth, fds)
            try:
                pidfd = _kernel.pidfd_open(pid)
            except OSError:
                # Nobody could supervise it.
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise
        except Exception as error:
            code = (error.errno or 0) if isinstance(error, OSError) else 0
            said = (error.strerror if code and isinstance(error, OSError) else str(error)) or type(error).__name__
            line.send(FAILED.pack(ord("f"), code, index, generation) + said.encode(errors="replace")[-60_000:])
            return
        self._workers[pidfd] = _Worker(pid, pidfd, line, (index, generation))
        self._poll.register(pidfd, select.POLLIN)
        line.children += 1
        line.send(STARTED.pack(ord("s"), index, generation, pid), (pidfd,))

    def _reap(self, worker: _Worker) -> None:
        try:
            pid, status, usage = os.wait4(worker.pid, os.WNOHANG)
        except ChildProcessError:
            # Somebody's fork hook or preloaded module has waited for it: all that is known is that it ended.
            pid, status, usage = worker.pid, 0, None
        if not pid:
            return
        del self._workers[worker.pidfd]
        self._poll.unregister(worker.pidfd)
        os.close(worker.pidfd)
        worker.line.children -= 1
        worker.line.send(EXITED.pack(ord("x"), pid, status, usage.ru_maxrss if usage else 0))
        self._watch(worker.line)

    def _fork(self, berth: Berth, fds: list[int]) -> int:
        util._flush_std_streams()  # type: ignore[attr-defined]
        here = os.getpid()
        pid = self._fork_as_tied()
        if pid:
            return pid
        try:
            self._arrive(here)
            self._bear(berth, fds)
        except BaseException:
            complain()
        finally:
            os._exit(1)

    def _exec(self, berth: Berth, fds: list[int]) -> int:
        """A fresh interpreter for one worker; raises what kept it from starting."""
        environment, _ = split(fds[0])
        kept = [self._parent, *fds[:4], *fds[7:]]
        values = [self._parent, berth.index, berth.generation, *fds[:4], list(fds[7:])]
        program = f"{environment['bootstrap']}import spawned; spawned({', '.join(map(str, values))})"
        command = [environment["executable"], *environment["flags"], "-c", program]
        hears, tells = os.pipe()
        here = os.getpid()
        try:
            pid = self._fork_as_tied()
        except OSError:
            close((hears, tells))
            raise
        if pid == 0:
            try:
                # Before exec, so that there is no moment in which the worker could outlive the nursery.
                self._arrive(here)
                os.close(hears)
                for target, source in enumerate(fds[4:7]):
                    os.dup2(source, target)
                for fd in kept:
                    os.set_inheritable(fd, True)
                os.execve(command[0], command, environment["environ"])
            except BaseException as error:
                os.write(tells, f"{command[0]}: {error}".encode(errors="replace")[:4000])
            finally:
                os._exit(127)
        os.close(tells)
        try:
            trouble = os.read(hears, 4096)  # ends at the exec
        finally:
            os.close(hears)
        if trouble:
            os.waitpid(pid, 0)
            raise OSError(trouble.decode(errors="replace"))
        return pid

    def _fork_as_tied(self) -> int:
        # The guarded fork's child would end with us.
        return _kernel.fork() if self._tied else os.fork()

    def _arrive(self, nursery: int) -> None:
        """In the child: end with the nursery, and hold nothing of it but the parent's pidfd."""
        if self._tied and not self._die_with(nursery):
            os._exit(1)
        for worker in self._workers.values():
            os.close(worker.pidfd)
        for line in self._lines.values():
            line.close()
        if self._master is not None:
            self._master.close()


def kill(pidfd: int) -> None:
    try:
        _kernel.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        pass


# --- the template ---


def template(
    control: int, parent: int, birth: Birth, run: Callable[..., None], request: dict[str, Any], mask: Iterable[int]
) -> NoReturn:
    """What a process that was just forked from the parent becomes. All signals are blocked when it is called."""
    try:
        handlers = put_aside_handlers()
        forget_parent()
        forget_half_imports()
        interrupt = handlers.pop(signal.SIGINT)
        collects = gc.isenabled()
        # The collector writes into every object's header; frozen, the parent's memory stays shared (LIMITS: 0.8 MB a
        # worker instead of 67 with three million objects).
        gc.disable()
        gc.freeze()

        def bear(berth: Berth, fds: list[int]) -> NoReturn:
            os.close(fds[0])
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if collects:
                gc.enable()
            become_worker(run, request, birth, berth, parent, interrupt=interrupt)

        # Once, and not in each worker: OpenBLAS starts its threads when it is told their number, and they spin for milliseconds
        # on the CPUs that the workers start on. They end at the fork, and the number stays.
        threads = request.get("threads")
        if threads is not None and _blas.is_loaded():
            if not request.get("threads_named", True):
                threads = _blas.allowed(threads, os.environ)
            _blas.limit(threads, warn=False)
        nursery = Nursery(parent, bear, least=2)
        _kernel.outlive_thread()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        nursery.attach(control)
        nursery.serve()
    except BaseException:
        complain()
    finally:
        os._exit(1)


# --- zygote and launcher ---


def main(master: int, init: int, parent: int, tracker: int, threads: int = 0) -> NoReturn:
    """An exec'ed nursery. With `threads`, it was exec'ed once more because preloading had started that many."""
    # Its parent has blocked SIGINT: there was no moment in which Ctrl-C could end it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stand_on_devnull()
    with open(init, "rb", closefd=False) as file:
        file.seek(0)
        data: dict[str, Any] = pickle.load(file)
    signal.pthread_sigmask(signal.SIG_SETMASK, data["signal_mask"])
    resource_tracker._resource_tracker._fd = tracker  # type: ignore[attr-defined]
    execs = data["method"] == "spawn" or threads > 0
    tied = data["tied"]
    notes, trouble = [], ""
    if threads:
        notes.append(
            f"preloading {', '.join(data['preload']) or 'the main module'} started threads ({threads - 1}); "
            "workers are exec'ed instead of forked, which is slower"
        )
    elif not execs:
        notes, trouble = preload(data, parent)
        if not tied:
            trouble = ""  # a process will meet it itself, and end as the standard library's do
        threads = threads_here()
        if threads > 1:
            _start_over(master, init, parent, tracker, threads, data)
        # A collection would cost the first worker a millisecond; it comes with what is imported afterwards.
        gc.freeze()
    os.close(init)
    # Each worker is sent its own. Kept here it would keep the tracker alive when the pool's process lets it go, as its
    # `_stop` waits for that.
    resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]
    os.close(tracker)

    def bear(berth: Berth, fds: list[int]) -> NoReturn:
        from_request(fds[0], berth, fds[4:7], fds[7:], parent)

    nursery = Nursery(parent, bear, least=8, tied=tied)
    run = sys.modules.get(data["warm"][0]) if data["warm"] else None
    afterwards = () if execs else getattr(run, "AFTERWARDS", ())
    nursery.configure(master=master, execs=execs, trouble=trouble, notes=notes, afterwards=afterwards)
    nursery.serve()


def _start_over(master: int, init: int, parent: int, tracker: int, threads: int, data: dict[str, Any]) -> None:
    """Get rid of the threads that preloading has started; a process that has them must not fork."""
    for fd in (master, init, parent, tracker):
        os.set_inheritable(fd, True)
    program = f"{data['bootstrap']}import main; main({master}, {init}, {parent}, {tracker}, {threads})"
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    util._flush_std_streams()  # type: ignore[attr-defined]
    os.execv(data["executable"], [data["executable"], *data["flags"], "-c", program])


def spawned(parent: int, index: int, generation: int, *fds: Any) -> NoReturn:
    """A worker in an interpreter of its own. Its descriptors 0, 1 and 2 were put in place before the exec."""
    request, dump, link, bell, extras = fds
    for fd in (parent, request, dump, link, bell, *extras):
        os.set_inheritable(fd, False)
    berth = Berth(index, generation, dump, link, bell)
    for name in split(request)[0]["preload"]:
        try:
            importlib.import_module(name)
        except Exception:
            pass  # the nursery has said so already
    from_request(request, berth, (0, 1, 2), extras, parent, fresh=True)
