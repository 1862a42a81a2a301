"""The rows of a batch, each a batch of its own."""

from collections.abc import Iterator
from dataclasses import fields

from torch import Tensor

from research.data.batch import IGNORE, Batch, Tokens


def rows_of(batch: Batch) -> Iterator[Batch]:
    """Each row of N, without the padding that longer ones gave it."""
    for i in range(len(next(iter(batch.views.values())).ids)):
        labels = None if batch.labels is None else batch.labels[i : i + 1]
        yield Batch({view: row(tokens, i) for view, tokens in batch.views.items()}, labels, shared=batch.shared)


def row(tokens: Tokens, i: int) -> Tokens:
    """Row i of tokens (N, ...), cut after its last token that is attended to or predicted."""
    present = {f.name: part[i : i + 1] for f in fields(Tokens) if (part := getattr(tokens, f.name)) is not None}
    labels, decoder = present.get("labels"), "decoder_ids" in present
    of_decoder = after(labels != IGNORE) if decoder and labels is not None else 0
    length = max(after(present["mask"]), after(labels != IGNORE) if labels is not None and not decoder else 0, 1)
    ends = {name: of_decoder if decoder and name.startswith(("decoder", "labels")) else length for name in present}
    return Tokens(**{name: part[:, : ends[name] or part.shape[1]] for name, part in present.items()})


def after(true: Tensor) -> int:
    """One more than the last place that is true of a row (1, L), or 0."""
    places = true[0].nonzero()
    return int(places[-1]) + 1 if len(places) else 0
