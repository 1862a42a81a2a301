"""The loaders of training: where they stand, how long they were waited for, and which batches one gradient adds up."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

from research.data.batch import Batch

StepBatches = dict[str, Batch | None]


class ResumableLoader(DataLoader):
    """A loader over positions. Its sampler asks where training stands, so it has no state of its own to restore."""

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


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

    def __iter__(self) -> "WindowLoader":
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
