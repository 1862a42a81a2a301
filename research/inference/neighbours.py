"""The known texts that are nearest to a text, by the cosine of the student's embeddings."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from research.data.cache import default_folder, key
from research.data.shards import explained
from research.errors import UserError, given_by
from research.inference.loading import checkpoint_of
from research.inference.model import Model
from research.inference.reading import source_of
from research.models.backbone import files_digest


class Neighbours:
    """Texts of a file with their labels, embedded once for a checkpoint and kept in the cache.

    Args:
        model: what embeds.
        ckpt: where it comes from.
        path: a .jsonl, .csv, .tsv or .parquet file.
        text: the column of the texts.
        label: and of their labels.

    Raises:
        UserError: if the file cannot be read, is empty, or has a label that no task of the model knows.
    """

    def __init__(self, model: Model, ckpt: str, path: str, text: str = "text", label: str = "label") -> None:
        with given_by("--neighbours"):
            source = source_of(path, text, None, "utf-8", label)
            records = list(source)
        known = {name for info in model.tasks.values() for name in info.labels}
        for record in records:
            if known and isinstance(record["label"], str) and record["label"] not in known:
                raise UserError(f"{record['where']}: no task of {ckpt} has the label '{record['label']}'")
        self.texts = [record["text"] for record in records]
        self.labels = [record["label"] for record in records]
        parts = key(files_digest([checkpoint_of(ckpt)]), source.fingerprint(), text, label)
        self.unit = _cached(default_folder() / "neighbours" / f"{parts}.npy", model, self.texts)

    def nearest(self, embedding: np.ndarray, count: int) -> list[dict[str, Any]]:
        """At most ``count`` of them, the nearest first: each its ``text``, ``label`` and ``similarity`` in [-1, 1].

        ``embedding`` is (H,).
        """
        similarity = self.unit @ (embedding / np.linalg.norm(embedding))
        return [
            {"text": self.texts[i], "label": self.labels[i], "similarity": float(similarity[i])}
            for i in np.argsort(-similarity, kind="stable")[:count]
        ]


def _cached(path: Path, model: Model, texts: list[str]) -> np.ndarray:
    """Embeddings (N, H) float32 of length 1."""
    if path.exists():
        kept: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        if kept.shape == (len(texts), model.student.width):
            return kept
    rows = unit(model.embed(texts))
    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        work = path.with_suffix(f".{os.getpid()}.new")
        with work.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
        os.replace(work, path)
    return rows


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (N, H) scaled to length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
