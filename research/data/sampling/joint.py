"""All streams in each step."""

from collections.abc import Mapping
from typing import Literal

from research.data.sampling.base import Sampling
from research.errors import UserError


class Joint(Sampling):
    """A batch of every stream in each step. A shorter stream starts its next pass where its last one ended.

    Args:
        epoch: ``longest`` ends an epoch when each stream has been seen whole at least once, ``shortest`` when the
            first one has; a number is its length in steps, at least 1.
    """

    def __init__(self, epoch: Literal["longest", "shortest"] | int = "longest") -> None:
        if isinstance(epoch, int) and epoch < 1:
            raise UserError(f"data.mixture: epoch is {epoch}; it must be at least 1")
        self.epoch = epoch

    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        if isinstance(self.epoch, int):
            return self.epoch
        return (max if self.epoch == "longest" else min)(batches.values())

    def turn(self, stream: str, step: int) -> int | None:
        return step
