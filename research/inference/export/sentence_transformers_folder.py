"""A folder that Sentence Transformers reads: the embedding, or the logits of a task behind it."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from research.errors import UserError
from research.inference.export.given import Given, Use, agreement
from research.inference.export.plain import filled, plain
from research.inference.export.tokenizer import framing

FORMAT = "sentence-transformers"
WITHIN = 1e-5  # of embeddings and logits, beside the largest of them
POOLINGS = {"mean": "mean", "first": "cls", "last": "lasttoken", "max": "max", "weighted_mean": "weightedmean"}
CODE = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("FOLDER")
embeddings = model.encode(["a text"])"""


def write(given: Given, folder: Path) -> Use:
    """Transformer, pooling, and the maps that come after it; read back and compared."""
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Dense, Normalize, Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
    except ImportError:
        extra = "pip install 'hybrid-fine-tuning[sentence-transformers]'"
        raise UserError(f"--format {FORMAT} needs the extra: {extra}") from None
    student, width = given.student, given.student.width
    if student.pooling not in POOLINGS:
        raise UserError(f"--format {FORMAT}: it has no pooling {student.pooling}; use --format onnx or torch")

    def linear(weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
        return Dense(width, len(weight), bias is not None, torch.nn.Identity(), weight, bias)

    after: list[Any] = []
    if student.embedding_norm is not None:
        after.append(Normalize())
        if student.embedding_norm != 1:
            after.append(linear(student.embedding_norm * torch.eye(width), None))
    if given.head is not None:
        mean, deviation = given.in_units
        after.append(linear(deviation * given.head.weight, deviation * given.head.bias + mean))
    with tempfile.TemporaryDirectory() as base:
        model: Any = plain(student)
        whole = student.family.name == "encoder-decoder"
        (model if whole else filled(AutoModel.from_config(model.config), model)).save_pretrained(base)
        framing(student, given.max_length).save_pretrained(base)
        modules = [
            Transformer(base, max_seq_length=given.max_length),
            Pooling(width, POOLINGS[student.pooling]),
            *after,
        ]
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)
    reread = SentenceTransformer(str(folder), device="cpu")

    def run(texts: list[str], seconds: list[str] | None) -> torch.Tensor:
        batch: list[Any] = texts if seconds is None else [list(pair) for pair in zip(texts, seconds, strict=True)]
        return torch.from_numpy(reread.encode(batch, show_progress_bar=False))

    ours, theirs = given.compared(run)
    largest = max(1.0, float(abs(ours).max()))
    what = "embeddings" if given.head is None else "logits"
    return Use(
        "sentence-transformers", "sentence-similarity", CODE,
        agreement(FORMAT, f"{what} of random texts, beside the largest,", ours / largest, theirs / largest, WITHIN),
    )  # fmt: skip
