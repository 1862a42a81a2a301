"""A head that cannot read the direction in which groups differ."""

import logging
from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from research.callbacks.checkpoint import more_steps
from research.data.groups import GENDER, GroupWords, Pairs
from research.data.sources import Source
from research.errors import UserError
from research.models.embedding import embed
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule

log = logging.getLogger(__name__)


def group_directions(first: Tensor, second: Tensor, count: int) -> tuple[Tensor, float]:
    """The directions (count, H), orthonormal, along which embeddings (N, H) of texts and their twins (N, H) differ
    most, and their share in [0, 1] of all squared differences (Liang et al. 2020, arXiv:2007.08100, after Bolukbasi et
    al. 2016).
    """
    _, lengths, directions = torch.linalg.svd(first - second, full_matrices=False)
    energy = lengths.square()
    return directions[:count], float(energy[:count].sum() / energy.sum())


class GroupProjection(Callback, Whole):
    """After the last step of ``fit`` a task's head is made blind to :func:`group_directions`: its weights W become
    ``W (1 - V' V)``, and so they are saved.

    The answers can then no longer change with an embedding along V. What else of a group is in the embedding, and the
    embedding itself, stays as it is.

    Args:
        task: a stream with a head.
        source: texts, labelled or not, of which those that name a group are read in the words of both.
        directions: how many are taken away, at least 1.
        pairs: as for :class:`research.data.groups.GroupWords`; the default is words of women and men.
    """

    def __init__(self, task: str, source: Source, directions: int = 1, pairs: Pairs | None = None) -> None:
        if directions < 1:
            raise UserError(f"trainer.callbacks: GroupProjection: directions is {directions}; it must be at least 1")
        self.task, self.source, self.directions, self.words = task, source, directions, GroupWords(pairs or GENDER)

    def on_fit_start(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        if self.task not in module.student.heads:
            heads = ", ".join(module.student.heads) or "none"
            raise UserError(f"trainer.callbacks: GroupProjection: no head is called '{self.task}'; there is {heads}")

    def on_train_batch_end(self, trainer: Trainer, pl_module: "LightningModule", *args: Any) -> None:
        if not more_steps(trainer):  # before the last checkpoint, which callbacks of checkpoints write after all others
            self.project(pl_module)

    @torch.no_grad()
    def project(self, module: Any) -> None:
        """Take the directions out of the head, by the student as it is now."""
        student, training = module.student, module.student.training
        student.eval()
        twins = self.words.twins(record["text"] for record in self.source)
        if not twins[0]:
            raise UserError("trainer.callbacks: GroupProjection: no text of the source names a group")
        first, second = (embed(student, texts) for texts in twins)
        directions, share = group_directions(first, second, self.directions)
        weight = student.heads[self.task].linear.weight
        basis = directions.to(weight)
        weight -= weight @ basis.T @ basis
        student.train(training)
        log.info("GroupProjection: %d directions with %.0f%% of what tells %d texts from their twins are taken from %s",
                 len(directions), 100 * share, len(twins[0]), self.task)  # fmt: skip
