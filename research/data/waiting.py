"""Says for which stream training waits long."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

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

    def over(self, stream: str, batches: Iterator[Any]) -> Iterator[Any]:
        """The batches of a stream, watched while they are awaited."""
        while True:
            self.asked = stream, time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self.asked = None
            yield batch
