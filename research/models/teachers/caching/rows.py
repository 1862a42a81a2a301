"""The identity of a row: what a teacher's answer depends on, and nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import fields

import numpy as np
import torch
import xxhash

from research.data.batch import IGNORE, Batch, Tokens


def row_keys(tokens: Tokens) -> np.ndarray:
    """(N,) uint64, equal for rows that show the same tokens and ask for the same positions.

    Padding does not count, so a row keeps its key in any batch. By the birthday bound, 10 million rows share a key
    with a chance of 3 in a million.
    """
    longest, written = ends(tokens)
    labelled = None if tokens.labels is None else tokens.labels != IGNORE
    read = {"ids": tokens.ids, "mask": tokens.mask, "types": tokens.types, "segments": tokens.segments}
    target = {"decoder_ids": tokens.decoder_ids, "decoder_segments": tokens.decoder_segments, "labelled": labelled}
    parts = [
        (name, part.cpu().numpy(), stops)
        for some, stops in ((read, longest), (target, written))
        for name, part in some.items()
        if part is not None
    ]
    digests = [_digest([(name, part[i, : stops[i]]) for name, part, stops in parts]) for i in range(len(longest))]
    return np.array(digests, np.uint64)


def ends(tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
    """(N,) tokens of each row up to the last real one, and (N,) of what is aligned with its labels."""
    longest = _last(tokens.mask)
    if tokens.decoder_ids is None:
        return longest, longest
    assert tokens.labels is not None, "what a decoder reads has labels"
    return longest, _last(tokens.labels != IGNORE)


def select(tokens: Tokens, rows: np.ndarray) -> Tokens:
    """Some of the rows."""
    where = torch.from_numpy(rows).to(tokens.ids.device)
    present = {f.name: part for f in fields(Tokens) if (part := getattr(tokens, f.name)) is not None}
    return Tokens(**{name: part[where] for name, part in present.items()})


def examples_digest(batches: Iterable[Batch], labels: Sequence[str]) -> str:
    """Eight hex digits of the labelled examples in some batches, in whatever order they come, and of the labels."""
    total = xxhash.xxh3_64_intdigest("\n".join(labels).encode())
    for batch in batches:
        assert batch.labels is not None
        for key, label in zip(row_keys(next(iter(batch.views.values()))).tolist(), batch.labels.tolist(), strict=True):
            total += xxhash.xxh3_64_intdigest(f"{key} {label}".encode())
    return f"{total % 2**32:08x}"


def _last(true: torch.Tensor) -> np.ndarray:
    """(N,): one more than the last column that is true, of (N, L) bool."""
    place = torch.arange(1, true.shape[1] + 1, device=true.device)
    return (true * place).amax(1).cpu().numpy()


def _digest(parts: list[tuple[str, np.ndarray]]) -> int:
    digest = xxhash.xxh3_64()
    for name, values in parts:
        digest.update(f"{name}{len(values)}".encode())
        digest.update(values.tobytes())
    return digest.intdigest()
