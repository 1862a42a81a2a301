"""Batches as a person reads them: each view decoded, and what it hides or asks for made visible."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from research.data.batch import IGNORE, Batch, Tokens
from research.data.inspect.layout import wrap
from research.data.stream import Stream
from research.data.stream_module import StreamDataModule

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from research.models import Student

ROWS = 2  # of a batch that are shown
LINES = 5  # of a text


def shown_batch(module: StreamDataModule, stream: Stream, position: int) -> Iterator[str]:
    """The lines of the batch that training reads at ``position`` of a stream."""
    batch = stream[position]
    assert batch is not None
    n, length = next(iter(batch.views.values())).ids.shape
    yield f"batch {position}: {n} rows of up to {length} tokens"
    for row in range(min(n, ROWS)):
        yield f"  {_where(module, batch, row)}{_label(module, batch, row)}"
        for view, parts in shown_views(batch, row, module.to.student).items():
            yield f"    {view}"
            for name, text in parts.items():
                yield from wrap(f"{name}: {text}" if name else text, 6, LINES)


def shown_views(batch: Batch, row: int, student: "Student") -> dict[str, dict[str, str]]:
    """The parts of each view of a row, by name; views that show the same are named together."""
    out: dict[str, dict[str, str]] = {}
    for view, tokens in batch.views.items():
        parts = shown_row(tokens, row, student)
        same = next((names for names, known in out.items() if known == parts), None)
        if same is None:
            out[str(view)] = parts
        else:
            out[f"{same}, {view}"] = out.pop(same)
    return out


def shown_row(tokens: Tokens, row: int, student: "Student") -> dict[str, str]:
    """One row of a view.

    A masked text has its masks inside: ``[MASK→river]``, ``[apple→river]`` for a random token in the place of a word,
    ``[river→river]`` for one that stays and is to be predicted all the same. Otherwise what the student has to write
    is a part of its own, ``target``.
    """
    tokenizer, real = student.tokenizer, tokens.mask[row]
    ids = tokens.ids[row][real]
    if tokens.labels is None:
        return {"": decoded(ids, tokenizer)}
    labels = tokens.labels[row]
    if student.family.name == "encoder":
        return {"": with_masks(ids, labels[real], tokenizer)}
    return {"source": decoded(ids, tokenizer), "target": decoded(labels[labels != IGNORE], tokenizer)}


def with_masks(ids: Tensor, labels: Tensor, tokenizer: "PreTrainedTokenizerBase") -> str:
    """Ids (L,) decoded, with ``[shown→label]`` where ``labels`` (L,) is not -100."""

    def one(token: Tensor) -> str:
        return decoded(token[None], tokenizer).strip("[]<>")

    parts: list[str] = []
    hidden = (labels != IGNORE).nonzero().flatten().tolist()
    for begin, place in zip([0, *(i + 1 for i in hidden)], [*hidden, len(ids)], strict=True):
        parts.append(decoded(ids[begin:place], tokenizer))
        if place < len(ids):
            parts.append(f"[{one(ids[place])}→{one(labels[place])}]")
    return " ".join(part for part in parts if part)


def decoded(ids: Tensor, tokenizer: "PreTrainedTokenizerBase") -> str:
    """The text of ids (L,), special tokens included, without white space around it."""
    return str(tokenizer.decode(ids)).strip()


def _where(module: StreamDataModule, batch: Batch, row: int) -> str:
    rows = len(next(iter(batch.views.values())).ids)
    if batch.index is None or len(batch.index) != rows or "train" not in module.rows:
        return f"row {row}"  # packed of several texts, or read while it is trained on
    return module.where("train", int(batch.index[row]))


def _label(module: StreamDataModule, batch: Batch, row: int) -> str:
    if batch.labels is None:
        return ""
    info, value = module.info, batch.labels[row]
    if info.problem == "regress":
        return f"  label {float(value) * info.scale[1] + info.scale[0]:.4g}"
    chosen = value.nonzero().flatten() if value.ndim else torch.atleast_1d(value)
    return "  label " + ", ".join(info.labels[int(i)] for i in chosen)
