"""Whether the student's answers depend on the group that a text names."""

from typing import TYPE_CHECKING, Any

import numpy as np
from lightning import Callback, Trainer
from scipy.special import softmax  # type: ignore[import-untyped]

from research.data.groups import GENDER, GroupWords, Pairs
from research.data.sources import Source
from research.errors import UserError
from research.evaluation.bias.gaps import group_gaps
from research.inference import Model
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule


class GroupGaps(Callback, Whole):
    """On ``test``, :func:`research.evaluation.bias.gaps.group_gaps` of the texts that name a group, each once in
    the words of either, logged as ``test/gaps/NAME``.

    Args:
        task: a stream of problem ``classify``.
        source: texts with labels of the task, which training should not read.
        pairs: as for :class:`research.data.groups.GroupWords`; the default is words of women and men.
    """

    def __init__(self, task: str, source: Source, pairs: Pairs | None = None) -> None:
        self.task, self.source, self.words = task, source, GroupWords(pairs or GENDER)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        model = Model(module.student, module.streams)
        stream = model.task(self.task, "classify")
        labels = model.streams[stream].labels
        named = [record for record in self.source if self.words.names_any(record["text"])]
        for record in named:
            if record.get("label") not in labels:
                raise UserError(f"{record['where']}: its label {record.get('label')!r} is none of {', '.join(labels)}")
        if not named:
            raise UserError("trainer.callbacks: GroupGaps: no text of the source names a group")
        twins = self.words.twins(record["text"] for record in named)
        first, second = (softmax(model.logits(texts, stream).astype(np.float64), axis=1) for texts in twins)
        gaps = group_gaps((first, second), np.array([labels.index(str(record["label"])) for record in named]))
        module.log_dict({f"test/gaps/{name}": value for name, value in gaps.items()}, logger=False)
