"""The mixture as asked for and as it came out, counted over the whole run."""

from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer

from research.data.batch import Batch

if TYPE_CHECKING:
    from lightning import LightningModule

COUNTS = ("steps", "examples", "tokens")


class MixtureLog(Callback):
    """Adds ``probability/STREAM`` to each step's figures, tells the sampling the step's loss, and counts what came.

    Counts are of all processes and are part of the checkpoint. Tokens are real ones, padding not counted.
    """

    def __init__(self) -> None:
        self.asked: dict[str, float] = {}  # the steps to be expected: the sum of the probabilities so far
        self.counts: dict[str, list[int]] = {}  # of all processes, up to the last checkpoint
        self.since: dict[str, list[int]] = {}  # of this process, since then

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        for name in data.streams:
            self.asked.setdefault(name, 0.0)
            self.counts.setdefault(name, [0, 0, 0])
            self.since[name] = [0, 0, 0]

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: "LightningModule",
        outputs: Any,
        batch: dict[str, Batch | None],
        batch_idx: int,
    ) -> None:
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        step = trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1
        for name, probability in data.mixture.probabilities(step).items():
            self.asked[name] += probability
            module.figures[f"probability/{name}"] = probability
        for name, part in batch.items():
            if part is not None:
                new = (int(trainer.is_global_zero), len(part), part.real_tokens)  # a step is one for all processes
                self.since[name] = [a + b for a, b in zip(self.since[name], new, strict=True)]

        def loss() -> float:
            return float(module.figures["loss"])

        data.mixture.observe(step, loss)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: "LightningModule", checkpoint: dict[str, Any]) -> None:
        self._gather(trainer)
        checkpoint["mixture"] = {"asked": dict(self.asked), "counts": {n: list(c) for n, c in self.counts.items()}}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: "LightningModule", checkpoint: dict[str, Any]) -> None:
        if "mixture" in checkpoint:
            self.asked, self.counts = checkpoint["mixture"]["asked"], checkpoint["mixture"]["counts"]

    def realised(self, trainer: Trainer) -> dict[str, dict[str, float]]:
        """For each stream its steps, examples and tokens and the share of each in the sum over the streams.

        ``asked_share`` is there where steps were drawn: the mean probability over the run's steps.
        """
        self._gather(trainer)
        totals = [max(sum(column), 1) for column in zip(*self.counts.values(), strict=True)]
        expected = sum(self.asked.values())
        out: dict[str, dict[str, float]] = {}
        for name, counts in self.counts.items():
            out[name] = {"asked_share": self.asked[name] / expected} if expected else {}
            for kind, count, total in zip(COUNTS, counts, totals, strict=True):
                out[name] |= {kind: count, f"{kind}_share": count / total}
        return out

    def _gather(self, trainer: Trainer) -> None:
        """Add up what the processes have counted; all of them have to call it."""
        if not self.since:
            return
        device = trainer.strategy.root_device
        local = torch.tensor(list(self.since.values()), dtype=torch.int64, device=device)
        new: Any = trainer.strategy.reduce(local, reduce_op="sum")
        for name, row in zip(self.since, new.tolist(), strict=True):
            self.counts[name] = [a + b for a, b in zip(self.counts[name], row, strict=True)]
            self.since[name] = [0, 0, 0]


def as_text(realised: dict[str, dict[str, float]]) -> str:
    """A line a stream: the share of the steps that was asked for, and the shares that came."""
    width = max(map(len, realised))
    lines = []
    for name, figures in realised.items():
        asked = f"asked {figures['asked_share']:6.2%}, came " if "asked_share" in figures else ""
        shares = ", ".join(f"{figures[f'{kind}_share']:6.2%} of {kind}" for kind in COUNTS)
        lines.append(f"  {name:<{width}}  {asked}{shares}")
    return "\n".join(lines)
