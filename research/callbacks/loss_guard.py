"""Goes on past steps whose loss is not finite, or leaps: they are left out, or undone back to the last checkpoint."""

import logging
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from research.callbacks.checkpoint import ResumeCheckpoint
from research.callbacks.weight_average import WeightAverage
from research.errors import UserError
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule
    from torch.optim import Optimizer

log = logging.getLogger(__name__)
NORMAL = 1.4826  # the standard deviation of a normal distribution, in median absolute deviations
LEAST = 0.01  # of the median: what a loss that hardly varies may vary


class LossGuard(Callback, Whole):
    """Without it, a loss that is not finite ends the run.

    A step is bad if the loss of an objective or the gradient's norm is not finite. With ``spike`` it is also bad if the
    loss of an objective exceeds ``median + spike s``, where ``s = 1.4826 median |x - median|`` (Hampel 1974,
    doi:10.1080/01621459.1974.10482962) but at least 1% of the median, over the losses x of its last ``window`` good
    steps. Losses are means over the batches of an accumulated gradient and over the processes, whose gradients are the
    same as well: all judge alike.

    ``skip`` takes no optimiser step, and puts back what objectives and weighting remember. ``roll_back`` also goes back
    to the weights and moments of the last checkpoint, and on with the next batch: the batches since then are passed
    over, as Chowdhery et al. did by hand (2022, arXiv:2204.02311, section 5.1). Either way steps, learning rate and
    batches go on as planned.

    Args:
        action: what to do about a bad step. ``roll_back`` before there is a checkpoint only skips.
        spike: a number of robust standard deviations above 0, such as 8; the default looks for no spikes.
        window: of how many steps an objective's losses are remembered; no spike is seen before so many. At least 10.
        give_up: after so many bad steps in a row the run ends. At least 1.
    """

    def __init__(
        self,
        action: Literal["skip", "roll_back"] = "skip",
        spike: float | None = None,
        window: int = 100,
        give_up: int = 10,
    ) -> None:
        name = f"trainer.callbacks: {type(self).__name__}"
        if spike is not None and not spike > 0:
            raise UserError(f"{name}: spike is {spike}; it must be above 0")
        if window < 10:
            raise UserError(f"{name}: window is {window}; it must be at least 10")
        if give_up < 1:
            raise UserError(f"{name}: give_up is {give_up}; it must be at least 1")
        self.action, self.spike, self.window, self.give_up = action, spike, window, give_up
        self.counts = {"not_finite": 0, "spikes": 0, "rolled_back": 0}
        self.in_a_row = 0
        self.recent: dict[str, deque[float]] = {}  # by objective, the losses of good steps
        self.losses: dict[str, list[Tensor]] = {}  # of the batches of this step
        self.before: list[Tensor] | None = None  # what objectives and weighting remembered before this step
        self.norm: float | None = None  # of the gradient of this step, if the step is bad

    def on_train_batch_start(self, trainer: Trainer, pl_module: "LightningModule", *args: Any) -> None:
        if self.before is None:
            self.before = [buffer.clone() for buffer in memory(pl_module)]

    def on_after_backward(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        for name in module.objectives:
            if (loss := module.figures.get(f"loss/{name}")) is not None:
                self.losses.setdefault(name, []).append(loss)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: "LightningModule", optimizer: "Optimizer") -> None:
        losses = {name: float(torch.stack(values).mean()) for name, values in self.losses.items()}
        norm = float(nn.utils.get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None]))
        assert self.before is not None
        before, self.before, self.losses = self.before, None, {}
        why = self._not_finite(losses, norm) or self._spike(losses)
        if why is None:
            self.in_a_row = 0
            for name, loss in losses.items():
                self.recent.setdefault(name, deque(maxlen=self.window)).append(loss)
            return
        step = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        self.in_a_row += 1
        if self.in_a_row == self.give_up:
            raise UserError(
                f"step {step}: {why}, the bad step number {self.give_up} in a row; lower model.optimisation.lr or set "
                "trainer.gradient_clip_val, then go on from the last checkpoint"
            )
        self.norm = norm
        optimizer.zero_grad(set_to_none=True)  # the optimiser passes over what has no gradient, moments and all
        for buffer, value in zip(memory(pl_module), before, strict=True):
            buffer.copy_(value)
        self._say(f"step {step}: {why}; the step is left out")

    def on_train_batch_end(self, trainer: Trainer, pl_module: "LightningModule", *args: Any) -> None:
        module: Any = pl_module
        if self.norm is not None:
            module.figures["gradient_norm"] = self.norm
            self.norm = None
            if self.action == "roll_back":
                self._roll_back(trainer, module)
        module.figures["bad_steps"] = self.counts["not_finite"] + self.counts["spikes"]

    def state_dict(self) -> dict[str, Any]:
        recent = {name: list(losses) for name, losses in self.recent.items()}
        return {"counts": dict(self.counts), "in_a_row": self.in_a_row, "recent": recent}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.counts, self.in_a_row = dict(state["counts"]), state["in_a_row"]
        self._remember(state["recent"])

    def _not_finite(self, losses: dict[str, float], norm: float) -> str | None:
        if bad := [name for name, loss in losses.items() if not np.isfinite(loss)]:
            what = f"the loss of {', '.join(bad)}"
        elif not np.isfinite(norm):
            what = "the gradient"
        else:
            return None
        self.counts["not_finite"] += 1
        return f"{what} is not finite"

    def _spike(self, losses: dict[str, float]) -> str | None:
        if self.spike is None:
            return None
        for name, loss in losses.items():
            recent = np.array(self.recent.get(name, ()))
            if len(recent) == self.window and loss > (highest := bound(recent, self.spike)):
                self.counts["spikes"] += 1
                return f"the loss of {name}, {loss:.4g}, is above {highest:.4g}, the bound of its last {self.window}"
        return None

    def _roll_back(self, trainer: Trainer, module: Any) -> None:
        last = next(c for c in trainer.callbacks if isinstance(c, ResumeCheckpoint))  # type: ignore[attr-defined]
        last.io.wait()
        if not last.path.exists():
            return
        saved = trainer.strategy.load_checkpoint(last.path)
        module.load_state_dict(saved["state_dict"])
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, WeightAverage):
                callback.on_load_checkpoint(trainer, module, saved)
        if module.teacher is not None:
            module.teacher.load_state_dict(saved["hybrid"]["teacher"])
        (optimiser,), (moments,) = trainer.optimizers, saved["optimizer_states"]
        now = optimiser.state_dict()["param_groups"]  # with the learning rate of now
        optimiser.load_state_dict({"state": moments["state"], "param_groups": now})
        if mine := saved["callbacks"].get(self.state_key):
            self._remember(mine["recent"])
        self.counts["rolled_back"] += 1
        self._say(f"back to the weights of step {saved['global_step']}; the batches since then are passed over")

    def _remember(self, recent: dict[str, Iterable[float]]) -> None:
        self.recent = {name: deque(losses, self.window) for name, losses in recent.items()}

    @rank_zero_only
    def _say(self, text: str) -> None:
        log.warning(text)


def bound(losses: np.ndarray, spike: float) -> float:
    """What a next loss may be after ``losses`` (n,)."""
    median = float(np.median(losses))
    spread = NORMAL * float(np.median(np.abs(losses - median)))
    return median + spike * max(spread, LEAST * abs(median))


def memory(module: Any) -> list[Tensor]:
    """Buffers that a step may change: those of objectives, such as queues and running means, and of the weighting."""
    return [*module.objectives.buffers(), *module.weighting.buffers()]
