"""How far the student's embeddings have moved from the model it started as."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from lightning import Callback, Trainer

from research.errors import UserError
from research.models import LiveTeacher
from research.step import Clean

if TYPE_CHECKING:
    from lightning import LightningModule


class Forgetting(Callback):
    """On the test split, the mean cosine similarity of the student's embeddings to the reference model's.

    1 means that nothing was forgotten. It is logged as ``test/similarity_to_original``. Students of another width
    cannot be compared so.

    Args:
        stream: the held-out text to embed.
        reference: the model as it was.
    """

    def __init__(self, stream: str, reference: LiveTeacher) -> None:
        self.stream, self.reference = stream, reference

    @torch.no_grad()
    def on_test_epoch_end(self, trainer: Trainer, pl_module: "LightningModule") -> None:
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if self.stream not in data.held_out_streams("test"):
            raise UserError(f"trainer.callbacks: Forgetting needs a test split of data.streams.{self.stream}")
        self.reference.build(module.device)
        texts = data.streams[self.stream].stream("test")
        texts.views = [Clean()]
        similarities = []
        batches = trainer.num_test_batches[data.held_out_streams("test").index(self.stream)]
        for position in range(int(batches)):
            tokens = texts[position].views[Clean()].to(module.device)
            mine = module.student.embedding(module.student(tokens))
            original = self.reference.student.embedding(self.reference.encode(tokens))
            similarities.append(F.cosine_similarity(mine.float(), original.float()))
        module.log("test/similarity_to_original", torch.cat(similarities).mean(), logger=False)
