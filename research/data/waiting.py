"""Loaders that count the seconds for which training waits for them, and say for which stream it waits long."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

log = logging.getLogger(__name__)
PATIENCE = 60.0  # seconds of waiting before the first line; each next one comes after twice as long


class Watch:
    """Looks now and then, in a thread of its own, for which stream training waits."""

    def __init__(self) -> None:
        self.asked: tuple[str, float] | None = None  # the stream, and since when; none if training has its batch
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._look, name="waiting-for-data", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def _look(self) -> None:
        long, patience = None, PATIENCE
        while not self._stop.wait(min(PATIENCE / 4, 1.0)):
            asked, now = self.asked, time.monotonic()
            if long is not None and asked != long:
                stream, since = long
                log.warning("data.streams.%s: training goes on after %.0f s without a batch", stream, now - since)
                long, patience = None, PATIENCE
            if asked is not None and now - asked[1] >= patience:
                stream, since = asked
                what = "training has waited %.0f s for its next batch; is the source slow or out of reach?"
                log.warning(f"data.streams.%s: {what}", stream, now - since)
                long, patience = asked, 2 * patience


class ResumableLoader(DataLoader):
    """A loader over positions. Its sampler asks where training stands, so it has no state of its own to restore."""

    watch: Watch | None = None  # is told when a batch is asked for, and when it has come

    def __iter__(self) -> Any:
        batches = (
            super().__iter__()
        )  # not in the generator: all loaders' workers start before the first batch is awaited
        return batches if self.watch is None else self._watched(batches, self.watch)

    def _watched(self, batches: Iterator[Any], watch: Watch) -> Iterator[Any]:
        stream: Any = self.dataset
        while True:
            watch.asked = stream.name, time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                watch.asked = None
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


class TimedLoader(CombinedLoader):
    """Counts the seconds that training has waited for the next batch, and says when they are many in a row."""

    def __init__(self, loaders: dict[str, ResumableLoader], mode: Any) -> None:
        super().__init__(loaders, mode)
        self.waited, self.watch = 0.0, Watch()
        for loader in loaders.values():
            loader.watch = self.watch

    def __iter__(self) -> "TimedLoader":
        self.watch.start()
        super().__iter__()
        return self

    def __next__(self) -> Any:
        started = time.perf_counter()
        try:
            return super().__next__()
        finally:
            self.waited += time.perf_counter() - started

    def reset(self) -> None:
        self.watch.stop()
        super().reset()
