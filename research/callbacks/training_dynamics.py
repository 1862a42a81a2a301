"""How each training example fared while it was trained on: what finds hard and mislabelled ones."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from lightning import Callback, Trainer
from torch import Tensor

from research.errors import UserError
from research.objectives import Classification, FreeLB
from research.ranks import many
from research.step import Step

if TYPE_CHECKING:
    from lightning import LightningModule

SUMS = ("seen", "loss", "square", "correct", "margin")  # of each example, then the probability of each class


def observed(logits: Tensor, labels: Tensor) -> Tensor:
    """What is added up (N, 5 + C) of one look at N examples: :data:`SUMS`, from logits (N, C) and labels (N,)."""
    logits, gold = logits.double(), labels[:, None]
    probabilities = logits.softmax(-1)
    mine, p = logits.gather(1, gold), probabilities.gather(1, gold)
    margin = mine - logits.scatter(1, gold, -torch.inf).amax(1, keepdim=True)
    loss = F.cross_entropy(logits, labels, reduction="none")[:, None]
    correct = (logits.argmax(1, keepdim=True) == gold).double()
    return torch.cat([torch.ones_like(p), loss, p**2, correct, margin, probabilities], 1)


def dynamics(sums: Tensor, label: int) -> dict[str, float]:
    """The figures of an example with this label, from what has been added up (5 + C,) over its E looks.

    With p_e the probability of the label at look e, and z_e the logits: ``confidence = mean p_e``,
    ``variability = sqrt(mean (p_e - confidence)^2)`` and correctness, the share of looks at which the label was the
    likeliest class (Swayamdipta et al. 2020, arXiv:2009.10795); the area under the margin,
    ``margin = mean (z_e[label] - max_{c != label} z_e[c])`` (Pleiss et al. 2020, arXiv:2001.10528); the mean ``loss``.
    """
    seen, loss, square, correct, margin = sums[: len(SUMS)].tolist()
    confidence = float(sums[len(SUMS) + label]) / seen
    return {
        "loss": loss / seen,
        "confidence": confidence,
        "variability": max(square / seen - confidence**2, 0.0) ** 0.5,
        "correctness": correct / seen,
        "margin": margin / seen,
    }


class TrainingDynamics(Callback):
    """Writes ``dynamics.STREAM.jsonl`` into the run's folder when training is done: a line for each example it saw.

    Each line has ``where`` the example stands, its ``label``, the ``guess``, which is the class with the highest mean
    probability, how often it was ``seen``, and its :func:`dynamics`. They are taken from the forwards of training
    itself, dropout and augmentation included, at the cost of a linear head; the ``losses`` of a
    :class:`research.data.curriculum.Curriculum` may name the file. In memory and in checkpoints it keeps 5 + C numbers
    an example, for C classes.

    Args:
        objective: the name of an objective that learns a task of problem ``classify``.
    """

    def __init__(self, objective: str) -> None:
        self.objective = objective
        self.sums: Tensor | None = None  # (n, 5 + C); of several processes up to the last checkpoint
        self.since: Tensor | None = None  # of this one of several, since then

    def setup(self, trainer: Trainer, pl_module: "LightningModule", stage: str) -> None:
        """Refuse an objective whose looks cannot be told, before weights are loaded."""
        if stage != "fit":
            return
        key = "trainer.callbacks: TrainingDynamics"
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if self.objective not in module.objectives:
            raise UserError(f"{key}: no objective '{self.objective}'; there are {', '.join(module.objectives)}")
        objective = module.objectives[self.objective]
        info = data.streams[objective.stream].info if objective.stream in data.streams else None
        if not isinstance(objective, Classification) or info is None or info.problem != "classify":
            raise UserError(f"{key}: {self.objective} does not classify a stream of problem classify")
        if objective.head != objective.stream or isinstance(objective, FreeLB):
            why = "shares another stream's head" if objective.head != objective.stream else "shows no text as it is"
            raise UserError(f"{key}: {self.objective} {why}; name another objective")
        self.source, self.labels = data.streams[objective.stream], info.labels

    def on_train_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        size = len(self.source.rows["train"][1]), len(SUMS) + len(self.labels)
        self.since = torch.zeros(size, dtype=torch.float64)
        if self.sums is None:
            self.sums = torch.zeros(size, dtype=torch.float64)
        self.watch = module.objectives[self.objective].register_forward_hook(self._look)

    def on_train_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        self.watch.remove()
        self._gather(trainer)
        if trainer.is_global_zero:
            self._write(Path(trainer.default_root_dir))

    def on_exception(self, trainer: Trainer, pl_module: "LightningModule", exception: BaseException) -> None:
        if hasattr(self, "watch"):
            self.watch.remove()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: "LightningModule", checkpoint: dict[str, Any]) -> None:
        self._gather(trainer)
        checkpoint[f"dynamics/{self.objective}"] = self.sums

    def on_load_checkpoint(self, trainer: Trainer, pl_module: "LightningModule", checkpoint: dict[str, Any]) -> None:
        self.sums = checkpoint.get(f"dynamics/{self.objective}")

    def _look(self, objective: Classification, given: tuple[Step], loss: Tensor) -> None:
        """The states that the loss has read, once more through the linear head: no forward, and no random number."""
        if not objective.training:
            return
        step, stream = given[0], objective.stream
        logits = objective.class_logits(step)
        if logits is None:
            head: Any = step.student.heads[stream]
            logits = head.linear(step.student.embedding(step.encoded(stream, objective.view)))
        index = step.batches[stream].index
        sums = self.since if many() else self.sums  # one process adds in one order, however often it is stopped
        assert sums is not None and index is not None
        sums.index_add_(0, index, observed(logits.detach(), step.labels(stream)).cpu())

    def _gather(self, trainer: Trainer) -> None:
        """Add up what the processes have seen; all of them have to call it."""
        if many() and self.sums is not None and self.since is not None:
            new: Any = trainer.strategy.reduce(self.since.to(trainer.strategy.root_device), reduce_op="sum")
            self.sums = self.sums + new.cpu()
            self.since.zero_()

    def _write(self, folder: Path) -> None:
        assert self.sums is not None
        path = folder / f"dynamics.{self.source.to.name}.jsonl"
        work = path.with_suffix(".new")
        seen = torch.nonzero(self.sums[:, 0]).flatten().tolist()
        with work.open("w", encoding="utf-8") as file:
            for i in seen:
                label, guess = self.source.gold("train", i), self.labels[int(self.sums[i, len(SUMS) :].argmax())]
                named = {"label": label, "guess": guess, "seen": int(self.sums[i, 0])}
                figures = dynamics(self.sums[i], self.labels.index(label))
                line = {"where": self.source.where("train", i), **named, **figures}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        os.replace(work, path)
        print(f"the dynamics of {len(seen)} examples in {path}")
