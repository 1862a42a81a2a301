"""A stream's batch: the views that the objectives asked for, as padded tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from research.step import View

IGNORE = -100  # a position that carries no loss, as in torch.nn.functional.cross_entropy


@dataclass
class Example:
    """One tokenised record without special tokens; ``second`` is the other text of a pair.

    ``ends`` is false where the text goes on in another example, or brings its own end tokens.
    """

    first: np.ndarray
    second: np.ndarray | None = None
    target: np.ndarray | None = None
    ends: bool = True


@dataclass
class Row:
    """What one view shows of an example, or of several packed. ``labels[t]`` is what position t has to predict."""

    ids: np.ndarray
    labels: np.ndarray | None = None
    decoder_ids: np.ndarray | None = None
    second: int = 0  # where the second text of a pair begins; 0 where there is none
    segments: np.ndarray | None = None  # of a packed row, as in Tokens
    decoder_segments: np.ndarray | None = None
    cut: np.ndarray | None = None  # (L,) bool: tokens that nothing attends to


@dataclass
class Tokens:
    """What a student reads.

    Shapes: ``ids`` (N, L) int64; ``mask`` (N, L) bool, true at real tokens; ``types`` (N, L) int64 or none;
    ``decoder_ids`` (N, D) int64 or none; ``labels`` (N, D or L) int64 or none: the token that the hidden state
    of the same position has to predict, and -100 where there is no loss (so no shift is left to the objective).
    Where rows are packed, ``segments`` (N, L) and ``decoder_segments`` (N, D) int64 number the documents of each row
    from 1, and are 0 at padding: attention stays inside a document, whose positions begin at 0. ``noise`` (N, L, E) is
    added to the input embeddings.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor | None = None
    types: Tensor | None = None
    decoder_ids: Tensor | None = None
    segments: Tensor | None = None
    decoder_segments: Tensor | None = None
    noise: Tensor | None = None

    def shows_the_same(self, other: "Tokens") -> bool:
        """Whether a student reads the same of both: all is equal but labels."""
        mine, theirs = ([getattr(each, f.name) for f in fields(each) if f.name != "labels"] for each in (self, other))
        return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))

    def to(self, device: torch.device, non_blocking: bool = False) -> "Tokens":
        present = {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}
        return Tokens(**{name: value.to(device, non_blocking=non_blocking) for name, value in present.items()})


@dataclass
class Batch:
    """The views of N examples, and their labels: (N,) int64 classes, (N, C) float indicators or (N,) float.

    ``index`` (N,) numbers the examples within their split. In packed rows, in their order, they outnumber the rows.
    ``shared`` has for a view the one whose encoding serves it too. ``shares`` has for objectives by name what their
    loss counts for, 1 in the mean, among the batches of all processes whose gradients are added up; none is 1. ``read``
    has where streamed text was read, by lane (:class:`research.data.texts.Place`).
    """

    views: dict["View", Tokens]
    labels: Tensor | None = None
    index: Tensor | None = None
    shared: dict["View", "View"] = field(default_factory=dict)
    shares: dict[str, Tensor] = field(default_factory=dict)
    read: dict[int, Any] = field(default_factory=dict)

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        labels = None if self.labels is None else self.labels.to(device, non_blocking=non_blocking)
        views = {view: tokens.to(device, non_blocking) for view, tokens in self.views.items()}
        return Batch(views, labels, self.index, self.shared, self.shares, self.read)

    def __len__(self) -> int:
        """How many examples it holds."""
        return len(next(iter(self.views.values())).ids if self.index is None else self.index)

    @property
    def real_tokens(self) -> int:
        """Tokens of the examples themselves, padding and further views not counted."""
        return int(next(iter(self.views.values())).mask.sum())


def same_inputs(views: Mapping["View", Tokens]) -> dict["View", "View"]:
    """For each view that shows a student no more than the one beside it does, that one."""
    beside = {view: other for view in views if (other := view.beside()) is not None and other in views}
    return {view: other for view, other in beside.items() if views[view].shows_the_same(views[other])}


def pad(rows: Sequence[np.ndarray], value: int) -> Tensor:
    """Stack arrays of unequal length into (N, longest) int64, filled up on the right with ``value``."""
    out = np.full((len(rows), max(map(len, rows))), value, dtype=np.int64)
    for line, row in zip(out, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(out)


def pad_rows(rows: Sequence[Row], pad_id: int, types: bool) -> Tokens:
    """Pad the rows of one view to the longest of them."""
    ids = pad([row.ids for row in rows], pad_id)
    lengths = torch.tensor([len(row.ids) for row in rows])
    tokens = Tokens(ids, torch.arange(ids.shape[1]) < lengths[:, None])
    if rows[0].labels is not None:
        tokens.labels = pad([row.labels for row in rows if row.labels is not None], IGNORE)
    if rows[0].decoder_ids is not None:
        tokens.decoder_ids = pad([row.decoder_ids for row in rows if row.decoder_ids is not None], pad_id)
    if types:
        second = torch.tensor([row.second or len(row.ids) for row in rows])
        tokens.types = ((torch.arange(ids.shape[1]) >= second[:, None]) & tokens.mask).long()
    if rows[0].segments is not None:
        tokens.segments = pad([row.segments for row in rows if row.segments is not None], 0)
    if rows[0].decoder_segments is not None:
        tokens.decoder_segments = pad([row.decoder_segments for row in rows if row.decoder_segments is not None], 0)
    if rows[0].cut is not None:
        tokens.mask &= pad([row.cut for row in rows if row.cut is not None], 0) == 0
    return tokens
