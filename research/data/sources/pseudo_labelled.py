"""Texts with the labels that a trained student gives them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from research.data.cache import key
from research.data.sources.source import Record, Source
from research.errors import UserError


def surest(classes: np.ndarray, sureness: np.ndarray, share: float) -> np.ndarray:
    """The indices, rising, of the surest ``share`` of each class, rounded up: classes (n,) and sureness (n,)."""
    kept = []
    for c in np.unique(classes):
        mine = np.flatnonzero(classes == c)
        kept.append(mine[np.argsort(-sureness[mine], kind="stable")[: int(np.ceil(share * len(mine)))]])
    return np.sort(np.concatenate(kept))


class PseudoLabelled(Source):
    """The texts of a source, each with the class that the student of a finished run gives it (self-training).

    Of each class that it gives, the surest share by probability is kept, so that no class is lost for being harder
    (Zou et al. 2018, arXiv:1810.07911). Labels that the source has are not read. The records keep their text, so that
    what a stream holds out is left out of them too.

    Args:
        source: where the texts come from.
        checkpoint: of the run, such as ``runs/NAME/checkpoints/last.ckpt``.
        task: the stream of that run whose classes are given, of problem ``classify``.
        keep: the share of each class that is kept, in (0, 1].
        count: how many texts are labelled, those with the smallest hashes; by default all.
        max_length: tokens of a text that the student reads, special ones included; by default what it takes.
    """

    def __init__(
        self,
        source: Source,
        checkpoint: str,
        task: str,
        keep: float = 0.9,
        count: int | None = None,
        max_length: int | None = None,
    ) -> None:
        if not 0 < keep <= 1:
            raise UserError(f"keep is {keep}; it must lie in (0, 1]")
        if count is not None and count < 1:
            raise UserError(f"count is {count}; it must be at least 1")
        self.source, self.checkpoint, self.task = source, checkpoint, task
        self.keep, self.count, self.max_length = keep, count, max_length

    def __iter__(self) -> Iterator[Record]:
        records = self._sample()
        labels, probabilities = self._labelled([record["text"] for record in records])
        classes, sureness = probabilities.argmax(1), probabilities.max(1)
        for i in surest(classes, sureness, self.keep):
            record: Record = {"text": records[i]["text"], "label": labels[classes[i]], "where": records[i]["where"]}
            if "origin" in records[i]:
                record["origin"] = records[i]["origin"]
            yield record

    def fingerprint(self) -> str:
        from research.models.backbone import files_digest

        path = Path(self.checkpoint).expanduser()
        if not path.is_file():
            raise UserError(f"checkpoint {self.checkpoint}: no such file; train the run that labels first")
        settings = self.task, self.keep, self.count, self.max_length
        return key("PseudoLabelled", self.source.fingerprint(), files_digest([path]), *settings)

    def _sample(self) -> list[Record]:
        from research.data.tokenised import record_hashes

        records = list(self.source)
        if self.count is None:
            return records
        hashes = record_hashes(records)
        return [records[i] for i in np.sort(np.argsort(hashes, kind="stable")[: self.count])]

    def _labelled(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """The classes' names, and the probabilities (N, C) of the texts."""
        import torch

        from research.models.checkpoint import Trained
        from research.models.embedding import embed

        trained = Trained(self.checkpoint, "checkpoint")
        if self.task not in trained.streams or not (labels := trained.streams[self.task].labels):
            raise UserError(f"task: the run of {self.checkpoint} has no classes of a stream '{self.task}'")
        trained.restore()
        student = trained.student.eval()
        with torch.no_grad():
            logits = student.heads[self.task](embed(student, texts, max_length=self.max_length))
        return list(labels), logits.softmax(-1).numpy()
