"""The report: sections of plain text, for the terminal and as Markdown."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from research.data.inspect.batches import shown_batch
from research.data.inspect.figures import Figures
from research.data.inspect.layout import bars, table, wrap
from research.data.stream import Stream
from research.data.stream_module import StreamDataModule

BATCHES = 5
QUANTILES = (0, 0.05, 0.5, 0.95, 1)
ENDS = 10  # labels that are listed from either end of a long list
PICTURES = {"Lengths": "lengths.png", "Mixture": "mixture.png"}

Sections = Mapping[str, str]
"""Plain text in at most 80 columns, by heading."""


def sections(
    modules: Mapping[str, StreamDataModule],
    streams: Mapping[str, Stream],
    figures: Mapping[str, Figures],
    gives: Mapping[str, np.ndarray],
    doubtful: Sequence[str],
) -> Sections:
    """Everything there is to say of streams that are set up, their batches and the steps that they come in.

    A stream without ``figures`` is one whose texts are read while they are trained on.
    """
    uncounted = "".join(
        f"\n{name} is read while it is trained on, and not counted" for name in gives if name not in figures
    )
    out = {
        "What looks wrong": "\n".join(map(item, doubtful)) or "nothing that is checked here",
        "Streams": stream_table(figures) + uncounted,
        "Lengths": length_table(figures) + "\n\n" + "\n\n".join(histograms(figures)),
        "Mixture": mixture_table(figures, gives),
    }
    for name, each in figures.items():
        if each.labels:
            out[f"Labels of {name}"] = label_bars(each.labels)
        elif each.values is not None:
            head = ["", *(f"{q:.0%}" for q in QUANTILES)]
            out[f"Labels of {name}"] = table(head, [[name, *(f"{v:.4g}" for v in np.quantile(each.values, QUANTILES))]])
    for name, module in modules.items():
        count = min(BATCHES, len(streams[name]))
        lines = [line for i in range(count) for line in shown_batch(module, streams[name], i)]
        out[f"Batches of {name}"] = "\n".join(lines)
    return out


def stream_table(figures: Mapping[str, Figures]) -> str:
    head = ["stream", "problem", "train", "validation", "test", "tokens", "batches"]
    return table(
        head,
        (
            [
                name,
                each.problem,
                *(f"{each.texts.get(split, 0):,}" for split in ("train", "validation", "test")),
                f"{each.tokens:,}",
                f"{each.batches:,}",
            ]
            for name, each in figures.items()
        ),
    ) + "\n\ntexts of each split; tokens of the training texts; batches of a pass"  # fmt: skip


def length_table(figures: Mapping[str, Figures]) -> str:
    """Quantiles of the lengths, and what becomes of them in the batches."""

    def row(name: str, lengths: np.ndarray, *more: str) -> list[str]:
        return [name, *(f"{q:,.0f}" for q in np.quantile(lengths, QUANTILES)), *more]

    rows = []
    for name, each in figures.items():
        unknown = each.unknown.sum() / max(each.lengths.sum(), 1)
        rows.append(row(name, each.lengths, f"{each.cut:.1%}", f"{each.padding:.1%}", f"{unknown:.2%}"))
        if each.targets is not None:
            rows.append(row(f"{name} (target)", each.targets, "", "", ""))
    note = "tokens of a training text, quantiles; cut: texts longer than max_length;\npadding: of the first batches"
    return table(["stream", *(f"{q:.0%}" for q in QUANTILES), "cut", "padding", "unknown"], rows) + f"\n\n{note}"


def histograms(figures: Mapping[str, Figures]) -> Iterator[str]:
    """Texts by length, in bins that double."""
    for name, each in figures.items():
        bins = np.ceil(np.log2(each.lengths + 1)).astype(int)  # 0, 1, 2 to 3, 4 to 7, ...
        counts = np.bincount(bins)
        first = int(np.flatnonzero(counts)[0])
        yield f"{name}\n" + bars([(_bin(i), int(counts[i])) for i in range(first, len(counts))])


def _bin(i: int) -> str:
    low, high = 2**i // 2, 2**i - 1
    return str(low) if low == high else f"{low:,} to {high:,}"


def label_bars(labels: Mapping[str, int]) -> str:
    """Texts by label, the most frequent first; of a long list its two ends."""
    ordered = sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))
    if len(ordered) <= 2 * ENDS:
        return bars(ordered)
    return f"{bars(ordered[:ENDS])}\n... {len(ordered) - 2 * ENDS} more ...\n{bars(ordered[-ENDS:])}"


def mixture_table(figures: Mapping[str, Figures], gives: Mapping[str, np.ndarray]) -> str:
    steps = len(next(iter(gives.values())))
    rows = []
    for name, given in gives.items():
        count = int(given.sum())
        passes = f"{count / figures[name].batches:.2f}" if name in figures else "-"
        rows.append([name, f"{count:,}", f"{count / max(steps, 1):.1%}", passes])
    return table(["stream", "batches", "of the steps", "passes"], rows) + f"\n\nin {steps:,} steps, on one process"


def item(told: str) -> str:
    """A sentence of a list, in as many lines as it takes."""
    return "-" + "\n".join(wrap(told, 2, 9))[1:]


def as_markdown(title: str, report: Sections) -> str:
    parts = [f"# Data of {title}"]
    for heading, text in report.items():
        picture = f"\n\n![{heading}]({PICTURES[heading]})" if heading in PICTURES else ""
        parts.append(f"## {heading}\n\n~~~text\n{text}\n~~~{picture}")
    return "\n\n".join(parts) + "\n"


def as_text(report: Sections) -> str:
    return "\n\n".join(f"{heading}\n{'=' * len(heading)}\n{text}" for heading, text in report.items()) + "\n"
