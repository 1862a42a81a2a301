"""Whether the student's embeddings still tell similar sentences from others."""

from typing import TYPE_CHECKING, Any

from lightning import Callback, Trainer

from research.data.sources import Source
from research.evaluation.similarity import similarity_correlation
from research.sharding import Whole

if TYPE_CHECKING:
    from lightning import LightningModule


class SentenceSimilarity(Callback, Whole):
    """On ``test``, :func:`research.evaluation.similarity.similarity_correlation`, logged as ``test/NAME/spearman``.

    Args:
        source: pairs of texts with a number as their label, such as STS-B.
        name: what the figure is called.
    """

    def __init__(self, source: Source, name: str = "similarity") -> None:
        self.source, self.name = source, name

    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        correlation = similarity_correlation(module.student, self.source)
        module.log(f"test/{self.name}/spearman", correlation, logger=False)
