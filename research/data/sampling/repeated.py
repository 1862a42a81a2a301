"""Several steps in a row with what another mode has in one."""

from collections.abc import Callable, Mapping
from typing import Any

from research.data.sampling.base import Sampling
from research.data.sampling.turns import ENDLESS
from research.errors import UserError


class Repeated(Sampling):
    """Each turn of another mode lasts ``times`` steps, such as the inner steps of meta-learning on one task.

    Args:
        mixture: the other mode, such as ``Sampled``.
        times: at least 1.
    """

    def __init__(self, mixture: Sampling, times: int) -> None:
        if times < 1:
            raise UserError(f"data.mixture: times is {times}; it must be at least 1")
        self.mixture, self.times = mixture, times

    def epoch_steps(self, batches: Mapping[str, int]) -> int:
        return self.times * self.mixture.epoch_steps(self._turns(batches))

    def connect(self, streams: list[str], seed: int) -> None:
        self.mixture.connect(streams, seed)

    def begin(self, sizes: Mapping[str, int], steps: Callable[[], float], ahead: int) -> None:
        self.mixture.begin(self._turns(sizes), lambda: steps() / self.times, -(-ahead // self.times))

    def turn(self, stream: str, step: int) -> int | None:
        turn = self.mixture.turn(stream, step // self.times)
        return None if turn is None else turn * self.times + step % self.times

    def probabilities(self, step: int) -> dict[str, float]:
        return self.mixture.probabilities(step // self.times)

    def observe(self, step: int, loss: Callable[[], float]) -> None:
        """Tell the other mode the loss of each turn's last step."""
        if (step + 1) % self.times == 0:
            self.mixture.observe(step // self.times, loss)

    def state_dict(self, step: int) -> dict[str, Any]:
        return {"mixture": self.mixture.state_dict(step // self.times)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["mixture"]:
            self.mixture.load_state_dict(state["mixture"])

    def _turns(self, batches: Mapping[str, int]) -> dict[str, int]:
        """How many turns show so many batches."""
        return {name: n if n >= ENDLESS else -(-n // self.times) for name, n in batches.items()}
