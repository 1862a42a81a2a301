"""The loaders of training: where they stand, how long they were waited for, and which batches one gradient adds up."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any, cast

from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

from research.data.batch import Batch
from research.data.stream import Stream
from research.data.waiting import Watch

StepBatches = dict[str, Batch | None]


def outlive_signals(worker: int) -> None:
    """Who stops a job signals all its processes, and what is saved then still needs the loader's.

    A worker ends by its parent's SIGTERM alone, which is how the exit of a run that has failed ends it.
    """
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):  # it tells who has sent a signal
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    parent = os.getppid()

    def obey() -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=obey, name="obey-parent", daemon=True).start()


class ResumableLoader(DataLoader):
    """A loader over positions. Its sampler asks where training stands, so it has no state of its own to restore."""

    watch: Watch | None = None  # is told when a batch is asked for, and when it has come

    def __iter__(self) -> Any:
        batches, stream = told_of_deaths(super().__iter__()), cast(Stream, self.dataset)
        return batches if self.watch is None else self.watch.over(stream.name, batches)

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


def told_of_deaths(batches: Any) -> Iterator[Any]:
    """The batches; where a worker has died while it sent one, the error says so as torch's own does."""
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (EOFError, OSError):
            workers = {worker.sentinel: worker.pid for worker in getattr(batches, "_workers", ())}
            dead = connection.wait(list(workers), timeout=1)  # its files close before the system calls it dead
            if not dead:
                raise
            raise RuntimeError(f"DataLoader worker (pid {workers[dead[0]]}) is gone") from None
        yield batch


def window(place: int, batches: int, accumulated: int) -> range:
    """The places in an epoch of so many batches whose gradients are added up with that of ``place``."""
    first = place // accumulated * accumulated
    return range(first, min(first + accumulated, batches))


class WindowLoader(CombinedLoader):
    """Reads the batches of a gradient together, and shows them to ``share`` before it gives out the first.

    Args:
        loaders: of each stream.
        share: tells each batch what it counts for among the others.
        together: how many to read for the gradient that is next.
    """

    def __init__(
        self,
        loaders: dict[str, Any],
        share: Callable[[Sequence[StepBatches]], None],
        together: Callable[[], int],
    ) -> None:
        super().__init__(loaders, "min_size")
        self.share, self.together = share, together
        self.read = deque[Any]()
        self.waited = 0.0  # seconds that training has waited for the next batch
        self.watch = Watch()
        for loader in loaders.values():
            if isinstance(loader, ResumableLoader):
                loader.watch = self.watch

    def __iter__(self) -> "WindowLoader":
        self.watch.start()
        super().__iter__()
        self.read.clear()
        return self

    def __next__(self) -> Any:
        started = time.perf_counter()
        try:
            if not self.read:
                for _ in range(self.together()):
                    self.read.append(super().__next__())
                self.share([batches for batches, *_ in self.read])
            return self.read.popleft()
        finally:
            self.waited += time.perf_counter() - started

    def reset(self) -> None:
        self.watch.stop()
        super().reset()
