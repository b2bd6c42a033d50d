"""Brings the log records of workers to the loggers of the parent.

Does not know: how the bytes travel.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
from collections.abc import Callable

__all__ = ["RelayHandler", "handle", "install", "levels"]


class RelayHandler(logging.Handler):
    """Sends each record to the parent, made ready as `logging.handlers.QueueHandler` does."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        super().__init__()
        self._send = send
        self._sending = False

    def emit(self, record: logging.LogRecord) -> None:
        """Pickles and sends a record; one that is logged by the sending itself is dropped."""
        if self._sending:
            return
        self._sending = True
        try:
            self._send(pickle.dumps(self.prepare(record).__dict__, 5))
        except Exception:
            self.handleError(record)
        finally:
            self._sending = False

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A copy whose message and traceback are text, as arguments and frames may not travel."""
        message = self.format(record)
        record = copy.copy(record)
        record.message = record.msg = message
        record.args = record.exc_info = record.exc_text = record.stack_info = None
        try:
            pickle.dumps(record.__dict__, 5)
        except Exception:
            # What `extra=` added.
            for name, value in list(record.__dict__.items()):
                try:
                    pickle.dumps(value, 5)
                except Exception:
                    record.__dict__[name] = repr(value)
        return record


def levels() -> dict[str, int]:
    """The levels that are set on this process's loggers, the root's under the name of nothing."""
    loggers = list(logging.root.manager.loggerDict.items())
    found = {name: logger.level for name, logger in loggers if isinstance(logger, logging.Logger) and logger.level}
    return {"": logging.root.level, **found}


def install(send: Callable[[bytes], object], wanted: dict[str, int]) -> RelayHandler:
    """Makes the worker's loggers send to the parent and nowhere else: inherited handlers would print a record twice.

    A process that a task forks can't send, and has those handlers again.
    """
    relay = RelayHandler(send)
    before: list[tuple[logging.Logger, list[logging.Handler]]] = []
    for name, level in wanted.items():
        logging.getLogger(name or None).setLevel(level)
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            before.append((logger, list(logger.handlers)))
            logger.handlers[:] = [] if logger.propagate else [relay]
    before.append((logging.root, list(logging.root.handlers)))
    logging.root.handlers[:] = [relay]

    def undo() -> None:
        for logger, handlers in before:
            if relay in logger.handlers:
                logger.removeHandler(relay)
                for handler in handlers:
                    logger.addHandler(handler)
            else:
                logger.handlers[:0] = handlers
        before.clear()  # its own children inherit what it has made of them

    os.register_at_fork(after_in_child=undo)
    return relay


def handle(data: bytes) -> None:
    """Gives a record that a worker sent to the parent's logger of its name, under the levels set here."""
    record = logging.makeLogRecord(pickle.loads(data))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
