"""Runs of a grid in processes of this machine, with its cores and memory shared out."""

import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from multiprocessing import connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import psutil
import torch

from research.ablation.design.plan import Planned
from research.ablation.running.job import work

Run = TypeVar("Run", bound=Planned)
SPARE = 0.9  # of the free memory that runs may take


class Workers:
    """Runs several at a time, each a process forked from one that has done the imports.

    How many fit into memory is known when one has run: until then there is one, and then no more than their peaks
    allow.

    Args:
        count: how many at most, at least 1; each has its share of the cores.
        peak: GB that a run is known to need, or 0.
    """

    def __init__(self, count: int, peak: float = 0.0) -> None:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(os.cpu_count() or 1)]
        self.free_cores = [cores[i::count] or [cores[i % len(cores)]] for i in range(count)]
        self.count, self.peak, self.memory = count, peak, free_memory()
        self.running: dict[Any, tuple[BaseProcess, Any, list[int], float]] = {}
        os.environ.setdefault("OMP_NUM_THREADS", str(len(self.free_cores[0])))
        self.context = warm_context()

    def fitting(self) -> int:
        """How many may run now."""
        if not self.peak:
            return 1
        return max(1, min(self.count, int(SPARE * self.memory / self.peak)))

    def run(self, waiting: Iterable[Run]) -> Iterator[tuple[Run, int, float]]:
        """Run them all, each taken when there is room; yields those that end, with their exit status and seconds.

        An exception, such as a KeyboardInterrupt, has all that run save themselves and stop.
        """
        queue, held = iter(waiting), list[Run]()
        try:
            while True:
                while len(self.running) < self.fitting() and (ready := taken(queue, held)):
                    self._start(ready)
                if not self.running:  # what is left waits for a run that failed
                    yield from ((planned, 1, 0.0) for planned in held)
                    return
                for sentinel in connection.wait([*self.running]):
                    process, planned, cores, since = self.running.pop(sentinel)
                    process.join()
                    self.free_cores.append(cores)
                    if planned.job.done:
                        self.peak = max(self.peak, planned.job.record()["cost"]["peak_memory_gb"])
                    yield planned, process.exitcode or 0, time.monotonic() - since
        finally:
            for process, *_ in self.running.values():
                process.terminate()
            for process, *_ in self.running.values():
                process.join()

    def _start(self, planned: Planned) -> None:
        cores = self.free_cores.pop()
        process = self.context.Process(target=work, args=(planned.job, cores))  # type: ignore[attr-defined]
        process.start()
        self.running[process.sentinel] = process, planned, cores, time.monotonic()


def taken(queue: Iterator[Run], held: list[Run]) -> Run | None:
    """The first that can be run now, taken from those that were held back or from the queue."""
    if (ready := next((run for run in held if run.ready), None)) is not None:
        held.remove(ready)
        return ready
    for run in queue:
        if run.ready:
            return run
        held.append(run)
    return None


def free_memory() -> float:
    """GB, of the GPU where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0] / 1e9
    available: int = psutil.virtual_memory().available
    return available / 1e9


def warm_context() -> BaseContext:
    """Starts processes that have imported what a run needs; each has its own memory and random numbers."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["research.ablation.running.warm"])
    return context
