"""The positions that a stream's loader reads."""

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler

from research.data.sampling.base import Sampling

HOLE = -1  # in this step the stream gives no batch
ENDLESS = 10**12  # batches of a pass whose length is known only at its end: more than any run has steps


class Turns(Sampler[int]):
    """The positions that a stream's loader reads, from the step where training stands, without end.

    Lightning stops reading after ``len(self)`` steps of an epoch, so nothing here depends on what ends it.
    """

    def __init__(self, sampling: Sampling, stream: str, steps: int, start: Callable[[], int]) -> None:
        self.sampling, self.stream, self.steps, self.start = sampling, stream, steps, start

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[int]:
        step = self.start()
        while True:
            turn = self.sampling.turn(self.stream, step)
            yield HOLE if turn is None else turn
            step += 1
