"""Which layers training has moved."""

from typing import TYPE_CHECKING, Any

import torch
from lightning import Callback, Trainer

from research.averaging.first import first_weights
from research.data.sources import Sample, Source
from research.evaluation.layer_similarity import layer_states, linear_cka
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule


class LayerSimilarity(Callback, Whole):
    """On ``test``, :func:`research.evaluation.layer_similarity.linear_cka` of what each layer gives now with what it
    gave before the first step, logged as ``test/cka/0`` for the embeddings and ``test/cka/K`` for the K-th layer.

    Args:
        source: texts to compare on.
        count: how many of them; their tokens should be some ten times as many as the student is wide.
        max_length: tokens of a text that are read.
    """

    def __init__(self, source: Source, count: int = 200, max_length: int = 64) -> None:
        self.sample, self.max_length = Sample(source, count), max_length

    @torch.no_grad()
    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        student, texts = module.student, [record["text"] for record in self.sample]
        now = layer_states(student, texts, self.max_length)
        trained = {name: value.clone() for name, value in student.model.state_dict().items()}
        student.model.load_state_dict(first_weights(module.config))
        then = layer_states(student, texts, self.max_length)
        student.model.load_state_dict(trained)
        figures = {f"test/cka/{depth}": linear_cka(*pair) for depth, pair in enumerate(zip(now, then, strict=True))}
        module.log_dict(figures, logger=False)
