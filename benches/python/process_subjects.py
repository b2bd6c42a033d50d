"""The process pools that are measured, behind one small interface."""

from __future__ import annotations

import importlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any


class NotThere(Exception):
    """Something that a measure needs, and that this version of the subject does not have."""


class Standard:
    """The standard library's ProcessPoolExecutor, whose workers are forked."""

    needs: tuple[str, ...] = ("concurrent.futures.process",)
    """Modules without which it can't be measured; loaded before any clock starts."""

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self.pool: Any = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork"))
        self.submit: Callable[..., Any] = self.pool.submit

    def all(self, function: Callable[..., Any], values: list[Any]) -> None:
        """Runs a task for each value, and waits for all of them."""
        submit = self.submit
        for future in [submit(function, value) for value in values]:
            future.result()

    def shared(self, value: Any) -> Any:
        """What tasks are given instead of a large value that all of them want; the value itself where there is no such thing."""
        return value

    def counts(self) -> dict[str, float]:
        """What it says of its large buffers, if it counts them."""
        return {}

    def mapped(self, function: Callable[..., Any], values: range) -> Iterable[Any]:
        """The results for all values, in order, in the quickest way that a user would write."""
        # A chunk for each of 100 turns: with 1000 and with 100,000 items in each it is slower.
        return self.pool.map(function, values, chunksize=-(-len(values) // 100))

    def lazily(self, function: Callable[..., Any], values: Iterable[Any], buffersize: int) -> Iterable[Any]:
        """The same, with the input read as results are taken: what 3.14's `map(buffersize=)` does, for every version."""
        window: deque[Any] = deque()
        for value in values:
            window.append(self.submit(function, value))
            if len(window) > buffersize:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()

    def close(self) -> None:
        self.pool.shutdown()


class StandardForkserver(Standard):
    """The same with its forkserver."""

    needs = ("concurrent.futures.process", "multiprocessing.forkserver")

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        from concurrent.futures import ProcessPoolExecutor

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", *preload])
        self.pool = ProcessPoolExecutor(workers, mp_context=context)
        self.submit = self.pool.submit


class Forkful(Standard):
    """forkful's, whose workers are forked from a template."""

    needs = ("forkful.futures.process",)
    method = "fork"

    def __init__(self, workers: int, preload: tuple[str, ...] = (), **options: Any) -> None:
        from forkful.futures.process import ProcessPoolExecutor

        # `preload` is the zygote's; what is forked has what the parent has.
        modules = preload if self.method == "zygote" else ()
        self.pool = ProcessPoolExecutor(workers, start_method=self.method, preload=modules, **options)
        self.submit = self.pool.submit

    def shared(self, value: Any) -> Any:
        import forkful

        if not hasattr(forkful, "share"):
            raise NotThere("forkful.share")
        return forkful.share(value)

    def counts(self) -> dict[str, float]:
        buffers = self.pool.stats().buffers
        return {"segments left": buffers.segments, "views left": buffers.views}

    def mapped(self, function: Callable[..., Any], values: range) -> Iterable[Any]:
        return self.pool.map(function, values)

    def lazily(self, function: Callable[..., Any], values: Iterable[Any], buffersize: int) -> Iterable[Any]:
        return self.pool.map(function, values, buffersize=buffersize)


class ForkfulZygote(Forkful):
    """The same with its zygote, which is what forkserver means."""

    method = "zygote"


class Multiprocessing(Standard):
    """`multiprocessing.Pool`, which cuts the input of its `map` into four chunks per worker."""

    needs = ("multiprocessing.pool",)

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        self.pool = multiprocessing.get_context("fork").Pool(workers)
        self.submit = lambda function, *args: _Gettable(self.pool.apply_async(function, args))

    def mapped(self, function: Callable[..., Any], values: range) -> Iterable[Any]:
        return self.pool.map(function, values)

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Loky(Standard):
    """loky's ProcessPoolExecutor."""

    needs = ("loky",)

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        import loky

        self.pool = loky.ProcessPoolExecutor(workers)
        self.submit = self.pool.submit


class Pebble(Standard):
    """pebble's ProcessPool, which can also stop tasks that run too long."""

    needs = ("pebble",)

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        import pebble

        self.pool = pebble.ProcessPool(max_workers=workers, context=multiprocessing.get_context("fork"))
        self.submit = lambda function, *args: self.pool.schedule(function, args=args)

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Joblib(Standard):
    """joblib's Parallel over loky. It has no futures: each call waits; it gathers small tasks into batches by itself."""

    needs = ("joblib",)

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        import joblib

        # With one job it would run everything in this process.
        assert workers > 1
        self.pool = joblib.Parallel(n_jobs=workers, backend="loky")
        self.pool.__enter__()
        self.delayed = joblib.delayed
        self.submit = lambda function, *args: _Known(self.pool([self.delayed(function)(*args)])[0])

    def all(self, function: Callable[..., Any], values: list[Any]) -> None:
        task = self.delayed(function)
        self.pool(task(value) for value in values)

    def mapped(self, function: Callable[..., Any], values: range) -> Iterable[Any]:
        task = self.delayed(function)
        return self.pool(task(value) for value in values)

    def close(self) -> None:
        self.pool.__exit__(None, None, None)


class Mpire(Standard):
    """mpire's WorkerPool."""

    needs = ("mpire",)

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        import mpire

        self.pool = mpire.WorkerPool(n_jobs=workers, start_method="fork")
        self.submit = lambda function, *args: _Gettable(self.pool.apply_async(function, args))

    def mapped(self, function: Callable[..., Any], values: range) -> Iterable[Any]:
        return self.pool.map(function, values, iterable_len=len(values))

    def close(self) -> None:
        self.pool.stop_and_join()


class Dask(Standard):
    """dask.distributed's LocalCluster of processes with one thread each."""

    needs = ("distributed",)

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        import warnings

        from distributed import Client, LocalCluster

        warnings.filterwarnings("ignore", "Sending large graph")
        cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
        self.pool = Client(cluster)
        # Without pure=False it would answer a repeated call from memory.
        self.submit = lambda function, *args: self.pool.submit(function, *args, pure=False)

    def all(self, function: Callable[..., Any], values: list[Any]) -> None:
        self.pool.gather(self.pool.map(function, values, pure=False))

    def shared(self, value: Any) -> Any:
        return self.pool.scatter(value, broadcast=True)

    def close(self) -> None:
        self.pool.cluster.close()


class Ray(Standard):
    """Ray on this machine alone, with as many CPUs as there are to be workers."""

    needs = ("ray",)

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        import ray

        ray.init(num_cpus=workers, include_dashboard=False, logging_level="error", log_to_driver=False)
        self.ray = ray
        self.remote: dict[Any, Any] = {}
        self.submit = self._submit

    def _function(self, function: Callable[..., Any]) -> Any:
        if function not in self.remote:
            # Builtins and classes it would not take.
            self.remote[function] = self.ray.remote(lambda *args: function(*args))
        return self.remote[function]

    def _submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return _RayResult(self.ray, self._function(function).remote(*args))

    def all(self, function: Callable[..., Any], values: list[Any]) -> None:
        task = self._function(function)
        self.ray.get([task.remote(value) for value in values])

    def shared(self, value: Any) -> Any:
        return self.ray.put(value)

    def close(self) -> None:
        self.ray.shutdown()


class _Known:
    def __init__(self, value: Any) -> None:
        self.value = value

    def result(self) -> Any:
        return self.value


class _Gettable:
    def __init__(self, pending: Any) -> None:
        self.result = pending.get


class _RayResult:
    def __init__(self, ray: Any, reference: Any) -> None:
        self.ray, self.reference = ray, reference

    def result(self) -> Any:
        return self.ray.get(self.reference)


SUBJECTS: dict[str, type[Standard]] = {
    "stdlib": Standard,
    "stdlib-forkserver": StandardForkserver,
    "multiprocessing": Multiprocessing,
    "forkful": Forkful,
    "forkful-zygote": ForkfulZygote,
    "loky": Loky,
    "pebble": Pebble,
    "joblib": Joblib,
    "mpire": Mpire,
    "dask": Dask,
    "ray": Ray,
}


def load(subject: str) -> type[Standard]:
    """The subject, with the modules that it needs imported."""
    kind = SUBJECTS[subject]
    for module in kind.needs:
        importlib.import_module(module)
    return kind
