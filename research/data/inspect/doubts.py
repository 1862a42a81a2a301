"""What looks wrong in a stream, each in a line that names the key."""

from collections.abc import Iterator

import numpy as np

from research.data.inspect.figures import Figures

PADDED = 0.2  # shares above which a person should know
CUT = 0.5
REPEATED = 0.05
UNKNOWN = 0.01
FEW = 10  # training texts of a class


def doubts(name: str, figures: Figures, batches: int, few_shot: bool) -> Iterator[str]:
    """Lines to read before training on the stream ``name``.

    Args:
        batches: how many of its batches the run reads.
        few_shot: classes have few examples because the config asks for it.
    """
    key, n = f"data.streams.{name}", figures.texts["train"]
    if batches == 0:
        yield f"{key}: the run ends before this stream gives a batch"
    if figures.cut > CUT and figures.problem == "unlabelled":
        yield f"{key}: {figures.cut:.0%} of the texts are longer than max_length and become several windows"
    elif figures.cut > CUT:
        yield f"{key}: {figures.cut:.0%} of the texts are longer than max_length and lose their end"
    for split, count in figures.left_out.items():
        yield f"{key}: {count:,} {split} texts are in a held-out split too, and are left out"
    if figures.repeated > REPEATED * n and figures.targets is None:  # a source text may have several targets
        yield f"{key}: {figures.repeated:,} of {n:,} training texts repeat another"
    if empty := int(np.count_nonzero(figures.lengths == 0)):
        yield f"{key}: {empty:,} training texts have no token"
    if unknown := int(np.count_nonzero(2 * figures.unknown > figures.lengths)):
        yield f"{key}: most tokens of {unknown:,} training texts are unknown to the tokenizer"
    if (share := figures.unknown.sum() / max(figures.lengths.sum(), 1)) > UNKNOWN:
        yield f"{key}: {share:.1%} of the tokens are unknown to the tokenizer"
    if figures.padding > PADDED:
        yield f"{key}: {figures.padding:.0%} of a batch is padding"
    few = [f"{label} ({count})" for label, count in figures.labels.items() if count < FEW]
    if few and not few_shot:
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        yield f"{key}: fewer than {FEW} training texts of {', '.join(few[:5])}{more}"
