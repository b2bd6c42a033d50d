"""A process pool of one worker without the engine: the encoder, a pipe, and the worker's Python side.

The library is a list; each message brings the entries that the worker has not got. Used by scripts that the tests start.
"""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import threading
import traceback
from typing import Any

from forkful._encode import Encoder, main_mode
from forkful._worker import Worker, _begin, _fresh_main

LAUNCH = "import sys; sys.path[:0] = [sys.argv[3]]; import drive; drive.launched()"
SIZE = struct.Struct("<Q")


def send(fd: int, value: Any) -> None:
    data = pickle.dumps(value, 5)
    data = SIZE.pack(len(data)) + data
    while data:
        data = data[os.write(fd, data) :]


def receive(fd: int) -> Any:
    (length,) = SIZE.unpack(read(fd, SIZE.size))
    return pickle.loads(read(fd, length))


def read(fd: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = os.read(fd, length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def serve(source: int, target: int, request: dict[str, Any]) -> None:
    """The worker."""
    entries: list[bytes] = []
    worker = Worker(entries.__getitem__)
    functions: dict[int, Any] = {}
    begun = False
    while True:
        try:
            new, number, definitions, flags, payload = receive(source)
        except EOFError:
            return
        entries.extend(new)
        try:
            if not begun:
                begun = True
                _begin(worker, request)
            worker.catch_up(definitions)
            context = None
            if flags:
                fn, args, kwargs, *more = worker.load(flags, payload)
                context = more[0] if more else None
            else:
                fn, args, kwargs = None, pickle.loads(payload), None
            if number >= 0:
                fn = functions.get(number)
                if fn is None:
                    fn = functions[number] = worker.function(number)
            answer = True, worker.dump(worker.call(fn, args, kwargs, context))
        except BaseException as error:
            answer = False, worker.dump_exception(error)
        send(target, answer)


class Pool:
    """`call` runs in the worker; `pool(fn, *args)` is the same."""

    def __init__(
        self,
        method: str,
        initializer: Any = None,
        initargs: tuple[Any, ...] = (),
        *,
        room: int = 1 << 30,
        **options: Any,
    ) -> None:
        self.method = method
        self.library: list[bytes] = []
        self.room = room
        self.mode = main_mode(method)
        self.encoder = Encoder(self.define, self.mode, **options)
        self.sent = 0
        self.lock = threading.Lock()
        request = self.encoder.request()
        if self.mode == "inherited":
            request.update(initializer=initializer, initargs=initargs)
        else:
            request["start"] = self.encoder.encode_start(initializer, initargs)
        to_worker, self.target = os.pipe()
        self.source, from_worker = os.pipe()
        self.process: subprocess.Popen[bytes] | None = None
        if method == "fork":
            sys.stdout.flush()
            if os.fork() == 0:
                code = 1
                try:
                    os.close(self.target)
                    os.close(self.source)
                    serve(to_worker, from_worker, request)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            self.encoder.forked()
        else:
            import multiprocessing.spawn

            preparation = None
            if self.mode == "imported":
                preparation = multiprocessing.spawn.get_preparation_data("worker")
                preparation = {
                    key: value for key, value in preparation.items() if key not in ("authkey", "log_to_stderr")
                }
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(to_worker), str(from_worker), os.path.dirname(__file__)],
                pass_fds=(to_worker, from_worker),
                stdin=subprocess.DEVNULL,
            )
            send(self.target, (sys.path, preparation, request))
        os.close(to_worker)
        os.close(from_worker)

    def define(self, entry: bytes) -> int | None:
        if len(self.library) >= self.room:
            return None
        self.library.append(entry)
        return len(self.library) - 1

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.target)
        os.close(self.source)
        if self.process is not None:
            self.process.wait()
        else:
            os.wait()

    def __call__(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            number, definitions, flags, payload, _ = self.encoder.encode(fn, args, kwargs)
            new = self.library[self.sent :]
            self.sent = len(self.library)
            send(self.target, (new, number, definitions, flags, payload))
            fine, answer = receive(self.source)
        value = self.encoder.decode(answer)
        if not fine:
            raise value
        return value


def launched() -> None:
    """The exec'ed worker."""
    source, target = int(sys.argv[1]), int(sys.argv[2])
    path, preparation, request = receive(source)
    sys.path[:] = path
    sys.modules.setdefault("drive", sys.modules[__name__])
    if preparation is not None:
        import multiprocessing.spawn

        multiprocessing.spawn.prepare(preparation)
    elif request["mode"] == "by-value":
        _fresh_main()
    serve(source, target, request)
