"""What every sampling answers: which streams give a batch in a step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any


class Sampling(ABC):
    """How streams share the steps of training. A step is a batch of the loader, counted from 0 over all epochs."""

    @abstractmethod
    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        """Steps of an epoch, where a pass over each stream takes so many ``batches``."""

    def connect(self, streams: list[str], seed: int) -> None:
        """Learn the streams' names, in their order, and the run's seed.

        Raises:
            UserError: for settings that do not name the streams.
        """

    def begin(self, sizes: Mapping[str, int], steps: Callable[[], float], ahead: int) -> None:
        """Learn what is known when the loaders are made.

        Args:
            sizes: batches of a pass over each stream.
            steps: gives the steps of the whole run; not to be called before the first turn.
            ahead: how many steps before its own a turn may be asked for.
        """

    @abstractmethod
    def turn(self, stream: str, step: int) -> int | None:
        """How many batches the stream has given before this step, or none if it gives none now."""

    def probabilities(self, step: int) -> dict[str, float]:
        """The chance of each stream to be the one of this step; empty where no chance is involved."""
        return {}

    def observe(self, step: int, loss: Callable[[], float]) -> None:
        """Hear that a step was trained on; ``loss`` gives its loss, averaged over the ranks, on all of them."""

    def state_dict(self, step: int) -> dict[str, Any]:
        """What a run needs to go on after ``step`` steps, as plain numbers and lists."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
