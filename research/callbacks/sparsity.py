"""Weights that are zero, more of them as training goes on."""

from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning import Callback, Trainer
from torch import Tensor, nn

from research.callbacks.loss_guard import LossGuard
from research.callbacks.weight_average import WeightAverage
from research.errors import UserError
from research.models.compression.maps import is_linear, layers_of
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule


class Sparsity(Callback, Whole):
    """Trains with a growing share of each linear map in the layers masked: it counts as zero in the forward pass.

    The share at progress t is ``share (1 - (1 - u)^3)`` with ``u = (t - start) / (end - start)`` within [0, 1] (Zhu &
    Gupta 2017, arXiv:1710.01878). A masked weight has no gradient and keeps its value, which the optimiser's decay and
    momentum alone move; it comes back with it when others have the lowest scores. The student is masked between steps,
    and so it is saved, tested and exported; the values behind the mask are in the state of the callback. The share of
    zeros is logged as ``test/sparsity``; they take as much room as other numbers.

    Args:
        share: of the weights in the end, in (0, 1).
        by: ``magnitude``: the smallest ``|w|`` go; ``movement``: those of the smallest ``-sum_t w_t g_t`` over all
            steps, where w is the value, masked or not, and g the gradient of the loss by what the forward pass took for
            it (Sanh et al. 2020, arXiv:2005.07683).
        start: of training, when the first weights go.
        end: of training, from when on the share stays.
    """

    def __init__(
        self, share: float, by: Literal["magnitude", "movement"] = "magnitude", start: float = 0.0, end: float = 0.7
    ) -> None:
        if not 0 < share < 1:
            raise UserError(f"trainer.callbacks: Sparsity: share is {share}; it must lie in (0, 1)")
        if not 0 <= start < end <= 1:
            raise UserError(f"trainer.callbacks: Sparsity: start is {start} and end {end}; give 0 <= start < end <= 1")
        self.share, self.by, self.start, self.end = share, by, start, end
        self.moved: dict[str, Tensor] = {}  # the scores of movement by the names of weights
        self.behind: dict[str, Tensor] = {}  # the values behind the masks, and 0 where there is none
        self.step = 0

    def state_dict(self) -> dict[str, Any]:
        return {"moved": self.moved, "behind": self.behind}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.moved, self.behind = state_dict["moved"], state_dict.get("behind", {})

    def on_fit_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        """Raises:
        UserError: beside a callback that has weights of other steps, which have other masks.
        """
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, LossGuard | WeightAverage):
                name = type(callback).__name__
                raise UserError(
                    f"trainer.callbacks: Sparsity masks weights that {name} replaces; leave one of them out"
                )

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self.step = trainer.global_step

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: "LightningModule", *args: Any) -> None:
        """Unmask the weights for the optimiser, which gets no gradient of those that were masked."""
        for name, weight in maps(pl_module).items():
            if (behind := self.behind.get(name)) is not None:
                behind = behind.to(weight.device)
                weight.data.copy_(torch.where(behind != 0, behind, weight.data))
            if weight.grad is not None:
                if self.by == "movement":  # a gradient that overflowed in half precision says nothing
                    finite = weight.grad.nan_to_num(0.0, 0.0, 0.0)
                    self.moved[name] = self.scores(name, weight) - weight.detach() * finite
                if behind is not None:
                    weight.grad.masked_fill_(behind != 0, 0.0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: "LightningModule", *args: Any) -> None:
        if trainer.global_step == self.step:  # between accumulated batches
            return
        self.step = trainer.global_step
        module: Any = pl_module
        share = self.now(self.step / module.total_steps)
        for name, weight in maps(pl_module).items() if share else ():
            mask = lowest(self.scores(name, weight), share)
            self.behind[name] = weight.detach().masked_fill(~mask, 0.0)
            weight.data.masked_fill_(mask, 0.0)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        weights = maps(pl_module).values()
        zeros = sum(int((weight == 0).sum()) for weight in weights)
        pl_module.log("test/sparsity", zeros / sum(weight.numel() for weight in weights), logger=False)

    def scores(self, name: str, weight: Tensor) -> Tensor:
        """Of each weight of a map; the lowest are masked."""
        if self.by == "magnitude":
            return weight.detach().abs()
        return self.moved.get(name, torch.zeros_like(weight)).to(weight.device)

    def now(self, progress: float) -> float:
        """The share at a progress in [0, 1]."""
        through = min(max((progress - self.start) / (self.end - self.start), 0.0), 1.0)
        return self.share * (1 - (1 - through) ** 3)


def maps(module: Any) -> dict[str, nn.Parameter]:
    """The trained weights of the linear maps in the student's layers, each once."""
    student = module.student
    layers = layers_of(student.model, student.family)
    named = {f"{name}.weight": child.weight for name, child in layers.named_modules() if is_linear(child)}
    own = {id(weight): name for name, weight in reversed(named.items()) if weight.requires_grad}
    return {name: named[name] for name in sorted(own.values())}


def lowest(scores: Tensor, share: float) -> Tensor:
    """Where the lowest scores are, this share of them: bool of the same shape."""
    count = round(share * scores.numel())
    where = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    where[scores.flatten().argsort(stable=True)[:count]] = True
    return where.view_as(scores)
