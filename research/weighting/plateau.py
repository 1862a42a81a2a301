"""A weight that moves when a validation figure has stopped to improve."""

import math
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from research.errors import UserError


class Plateau(nn.Module):
    """From ``start`` to ``end`` in equal moves, one whenever ``patience`` validations in a row brought no new best.

    Args:
        start: the weight before the first move, at least 0.
        end: the weight after the last, at least 0.
        figure: ``OBJECTIVE/METRIC`` of a validation, such as ``mlm/loss`` or ``ce/accuracy``.
        patience: validations without a new best before each move, at least 1.
        moves: at least 1.
        larger_is_better: whether the figure is to rise, as an accuracy is.
    """

    def __init__(
        self,
        start: float,
        end: float,
        figure: str,
        patience: int = 3,
        moves: int = 1,
        larger_is_better: bool = False,
    ) -> None:
        super().__init__()
        if not (0 <= start < math.inf and 0 <= end < math.inf):
            raise UserError(f"a plateau from {start} to {end}; both must be at least 0 and finite")
        for name, value in (("patience", patience), ("moves", moves)):
            if value < 1:
                raise UserError(f"a plateau with {name} {value}; it must be at least 1")
        if "/" not in figure:
            raise UserError(f"a plateau with figure '{figure}'; name an objective and a metric, such as mlm/loss")
        self.start, self.end, self.figure, self.patience, self.moves = start, end, figure, patience, moves
        self.sign = -1.0 if larger_is_better else 1.0
        self.best, self.waited, self.moved = math.inf, 0, 0

    def check(self, key: str, objectives: Iterable[str]) -> None:
        """Refuse the figure of an objective that does not exist.

        Raises:
            UserError: naming the key.
        """
        known, name = list(objectives), self.figure.partition("/")[0]
        if name not in known:
            raise UserError(f"{key}: its figure is of no objective '{name}'; there are {', '.join(known)}")

    def check_validation(self, key: str, measured: Collection[str]) -> None:
        """Refuse a figure that no validation gives, as the weight would never move.

        Raises:
            UserError: naming the key.
        """
        if (name := self.figure.partition("/")[0]) not in measured:
            raise UserError(
                f"{key}: its figure is of '{name}', which no validation measures; set validation on its stream, and "
                "trainer.limit_val_batches above 0"
            )

    def at(self, progress: float) -> float:
        """The weight now, however far the training is."""
        return self.start + (self.end - self.start) * self.moved / self.moves

    def observe(self, key: str, figures: Mapping[str, float]) -> None:
        """Count one more validation.

        Raises:
            UserError: if it did not give the figure.
        """
        name = f"validation/{self.figure}"
        if name not in figures:
            there = ", ".join(figure.removeprefix("validation/") for figure in figures)
            raise UserError(f"{key}: validation gives no figure {self.figure}; there is {there or 'none'}")
        if (value := self.sign * figures[name]) < self.best:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.waited == self.patience:
            self.waited, self.moved = 0, min(self.moved + 1, self.moves)

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.best, self.waited, self.moved], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self.best, self.waited, self.moved = float(state[0]), int(state[1]), int(state[2])
