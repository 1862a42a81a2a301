"""The figures of one stream: how much it holds, how long its texts are, what is lost of them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from torch import Tensor

from research.data.corpus import DEFAULT_WINDOW
from research.data.stream import Stream
from research.data.stream_module import StreamDataModule
from research.data.task import Texts
from research.data.tokenised import Column

PROBED = 100  # batches whose padding is counted


@dataclass
class Figures:
    """What a stream holds for training; shares lie in [0, 1].

    ``texts`` counts the texts of each split. ``lengths`` (n,) are the tokens of each training text or pair as it
    stands in the source, special ones not counted; ``targets`` (n,) those of its target, or none. ``cut`` is the share
    of the texts that do not fit into ``max_length``: a task drops their end, a corpus makes them several windows.
    ``padding`` is the share of padding in the first batches; ``unknown`` (n,) counts the unknown tokens of each text.
    ``labels`` counts the training texts of each label; ``values`` (n,) are the numbers to regress. ``repeated`` counts
    training texts equal to an earlier one; ``left_out`` by split those that are held out elsewhere. ``batches`` make a
    pass.
    """

    problem: str
    texts: dict[str, int]
    lengths: np.ndarray
    targets: np.ndarray | None
    unknown: np.ndarray
    cut: float
    padding: float
    labels: dict[str, int]
    values: np.ndarray | None
    repeated: int
    left_out: dict[str, int]
    batches: int

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum()) + (0 if self.targets is None else int(self.targets.sum()))


def figures_of(module: StreamDataModule, stream: Stream) -> Figures:
    """The figures of a stream that is set up, and of ``stream``, its training batches."""
    table, rows = module.rows["train"]
    info, hashes = module.info, module.hashes("train")
    lengths = sum(Column(table, name).lengths for name in ("first", "second"))[rows]  # type: ignore[index]
    target = Column(table, "target")
    unknown = module.to.student.tokenizer.unk_token_id
    labels = stream.labels
    regress = info.problem == "regress" and labels is not None
    return Figures(
        problem=info.problem,
        texts={split: len(kept) for split, (_, kept) in module.rows.items()},
        lengths=lengths,
        targets=target.lengths[rows] if target.present and info.problem == "generate" else None,
        unknown=sum(occurrences(table, name, unknown) for name in ("first", "second"))[rows],  # type: ignore[index]
        cut=_cut(module, stream, lengths),
        padding=padding(stream),
        labels=_label_counts(info.labels, labels),
        values=labels.numpy() * info.scale[1] + info.scale[0] if regress and labels is not None else None,
        repeated=len(hashes) - len(np.unique(hashes)),
        left_out={split: count for split, count in module.left_out.items() if count},
        batches=len(stream),
    )


def occurrences(table: pa.Table, name: str, token: int | None) -> np.ndarray:
    """How often (n,) a token is in each row of a column of tokens, a chunk at a time; 0 for a token that is none."""
    counts = [np.zeros(0, np.int64)]
    for chunk in table[name].chunks:
        offsets = chunk.offsets.to_numpy()
        hits = np.flatnonzero(chunk.values.to_numpy() == (-1 if token is None else token))
        hits = hits[(hits >= offsets[0]) & (hits < offsets[-1])] if len(chunk) else hits[:0]
        counts.append(np.bincount(np.searchsorted(offsets, hits, side="right") - 1, minlength=len(chunk)))
    return np.concatenate(counts)


def padding(stream: Stream) -> float:
    """The share of padding among the positions of the first batches of a pass, over all their views."""
    real = total = 0
    for position in range(min(len(stream), PROBED)):
        batch = stream[position]
        assert batch is not None
        for tokens in batch.views.values():
            real, total = real + int(tokens.mask.sum()), total + tokens.mask.numel()
    return 1 - real / max(total, 1)


def _cut(module: StreamDataModule, stream: Stream, lengths: np.ndarray) -> float:
    """The share of texts, of so many tokens (n,), that a row has no room for."""
    if isinstance(stream.examples, Texts):
        return float(np.mean(stream.examples.full > stream.examples.lengths))
    return float(np.mean(lengths > (module.limit or DEFAULT_WINDOW) - stream.family.overhead(pair=False)))


def _label_counts(names: tuple[str, ...], labels: Tensor | None) -> dict[str, int]:
    """Training texts of each label, from classes (n,) or indicators (n, C)."""
    if labels is None or not names:
        return {}
    counts = labels.sum(0) if labels.ndim == 2 else labels.bincount(minlength=len(names))
    return dict(zip(names, counts.long().tolist(), strict=True))
