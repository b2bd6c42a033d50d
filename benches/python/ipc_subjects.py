"""Whose queues, locks, pipes and pools are measured: three modules of the standard library, and forkful's in their place."""

from __future__ import annotations

import importlib
from typing import Any

from process_subjects import NotThere

__all__ = ["SUBJECTS", "NotThere", "load"]


class Standard:
    """multiprocessing, threading and queue of the standard library. Processes are forked, as that is what takes least."""

    processes_of, threads_of, queues_of = "multiprocessing", "threading", "queue"

    def __init__(self) -> None:
        self.threads: Any = importlib.import_module(self.threads_of)
        self.queues: Any = importlib.import_module(self.queues_of)
        processes: Any = importlib.import_module(self.processes_of)
        self.processes = processes.get_context("fork")
        self.thread_pool: Any = importlib.import_module(self.processes_of + ".pool").ThreadPool

    def queue(self, maxsize: int) -> Any:
        return self.processes.Queue(maxsize)

    def memory(self, size: int) -> Any:
        module = importlib.import_module(self.processes_of + ".shared_memory")
        return module.SharedMemory(create=True, size=size)


class Simple(Standard):
    """multiprocessing.SimpleQueue: a pipe and two locks."""

    def queue(self, maxsize: int) -> Any:
        if maxsize:
            raise NotThere("a maxsize")
        return self.processes.SimpleQueue()


class FasterFifo(Standard):
    """The queue of the package faster-fifo, which holds as many bytes as it is told, two million if it is not."""

    def queue(self, maxsize: int) -> Any:
        if maxsize:
            raise NotThere("a maxsize in messages")
        return importlib.import_module("faster_fifo").Queue()


class Forkful(Standard):
    """forkful's modules of these names."""

    processes_of, threads_of, queues_of = "forkful.multiprocessing", "forkful.threading", "forkful.queue"


SUBJECTS: dict[str, type[Standard]] = {
    "stdlib": Standard,
    "stdlib-simple": Simple,
    "forkful": Forkful,
    "faster-fifo": FasterFifo,
}


def load(subject: str) -> Standard:
    return SUBJECTS[subject]()
