"""Numbered pieces of work on all cores, with their progress told on standard error."""

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

SILENCE = 30.0  # seconds between two lines where standard error is no terminal

Report = Callable[[int, int], None]
"""To be told records and bytes as they are done."""

_shared: Any = None  # what a worker was started with


def each(work: Callable[[int, Report], None], count: int) -> None:
    """Call `work` with every number below `count`, in processes of their own where there are several.

    Raises what the first call to fail raises; the others are stopped at their next report.
    """
    workers = min(count, cores())
    with told() as report:
        if workers > 1:
            _in_processes(work, count, workers, report)
        else:
            for number in range(count):
                work(number, report)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(work: Callable[[int, Report], None], count: int, workers: int, report: Report) -> None:
    done, stop = multiprocessing.Array("q", 2), multiprocessing.Event()
    before = [0, 0]
    with ProcessPoolExecutor(workers, initializer=_start, initargs=((work, done, stop),)) as pool:
        try:
            running = {pool.submit(_one, number) for number in range(count)}
            while running:
                finished, running = wait(running, timeout=0.2, return_when="FIRST_EXCEPTION")
                now = done[:]
                report(now[0] - before[0], now[1] - before[1])
                before = now
                for future in finished:
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _start(shared: Any) -> None:
    global _shared
    _shared = shared
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed run must not go on writing behind the back of the next one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _one(number: int) -> None:
    work, done, stop = _shared

    def report(records: int, size: int) -> None:
        with done.get_lock():
            done[0] += records
            done[1] += size
        if stop.is_set():
            raise KeyboardInterrupt

    work(number, report)


@contextmanager
def told(delay: float = 2.0) -> Iterator[Report]:
    """A bar on a terminal; a line now and then elsewhere; nothing for what takes seconds."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    records = size = 0
    last = time.monotonic()
    bar = tqdm(desc="building the cache", unit=" records", delay=delay, disable=not sys.stderr.isatty())

    def report(more: int, larger: int) -> None:
        nonlocal records, size, last
        records, size = records + more, size + larger
        bar.set_postfix_str(f"{size / 1e6:,.0f} MB", refresh=False)
        bar.update(more)
        if bar.disable and time.monotonic() - last > SILENCE:
            last = time.monotonic()
            log.info("building the cache: %s records, %s MB", f"{records:,}", f"{size / 1e6:,.0f}")

    with bar:
        yield report
