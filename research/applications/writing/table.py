"""``decoding.md``: every arm by every way of decoding, beside what people wrote."""

from collections.abc import Mapping, Sequence
from typing import Any

from research.ablation.reporting.statistics import interval
from research.applications.writing.decoding import DECODINGS
from research.applications.writing.facts import Facts
from research.applications.writing.quality import errors_of
from research.applications.writing.slots import slot_error_rates
from research.evaluation.generation import text_figures

FIGURES = {
    "bleu": "BLEU", "chrf": "chrF", "rouge_l": "ROUGE-L", "slot_errors": "slot errors", "missing": "missing",
    "added": "added", "repeated": "repeated", "wrong": "wrong", "distinct_1": "distinct-1", "distinct_2": "distinct-2",
    "vocabulary": "words", "different": "different", "copied": "copied", "copied_span": "copied span",
    "longest_copied_span": "longest",
}  # fmt: skip


def people(places: Sequence[Facts], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Figures of the first sentence that people wrote of each of N places, against their others."""
    several = [(facts, texts) for facts, texts in zip(places, references, strict=True) if len(texts) > 1]
    first = [texts[0] for _, texts in several]
    figures = text_figures(first, [texts[1:] for _, texts in several])
    return figures | slot_error_rates(errors_of(first, [facts for facts, _ in several]))


def decoding_table(header: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], human: Mapping[str, float]) -> str:
    """Markdown: the mean over seeds and half the width of its 95% interval."""
    theirs = [shown([human[figure]]) if figure in human else "-" for figure in FIGURES]
    lines = [
        f"| {' | '.join([*header['axes'], 'decoding', *FIGURES.values()])} |",
        "|" + "---|" * (len(header["axes"]) + 1 + len(FIGURES)),
        f"| {' | '.join(['people', *[''] * len(header['axes']), *theirs])} |",
    ]
    arms: dict[tuple[str, ...], list[Mapping[str, float]]] = {}
    for run in runs:
        if run["status"] == "done":
            arms.setdefault(tuple(run["arm"].values()), []).append(run["metrics"])
    for arm, seeds in arms.items():
        for name in DECODINGS:
            cells = [shown([one[f"test/{name}/{figure}"] for one in seeds]) for figure in FIGURES]
            lines.append(f"| {' | '.join([*arm, name, *cells])} |")
    seeds_of, commit = ", ".join(map(str, header["seeds"])), header["commit"]
    lines += [
        "",
        f"Mean over the seeds {seeds_of} and half the width of its 95% interval (Student's t). Slot errors and their "
        "kinds are in percent of the slots; distinct, different and copied in percent; copied span and longest in "
        "words. People: the first sentence of each place against the others.",
        "",
        f"Commit {commit}: `python -m research.applications.writing`, configs in this folder.",
        "",
    ]
    return "\n".join(lines)


def shown(values: Sequence[float]) -> str:
    of = interval(values)
    return f"{of.mean:.1f}" + (f" ± {of.half:.1f}" if of.half is not None else "")
