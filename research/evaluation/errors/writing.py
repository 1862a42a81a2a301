"""What is wrong with the texts that a run writes."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from research.evaluation.errors.answers import Written
from research.evaluation.errors.sections import Section, Shown, Table

WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]|[^\W\u2e80-\u9fff\uac00-\ud7af]+")
"""A word, or a character of a script that is written without spaces."""
RUN = 4  # words in sequence, which are a repetition or a copy where they come again


def writing_sections(answers: Written, text: Mapping[str, str], most: int) -> list[Section]:
    """Lengths, repetition and copies of the written texts beside the gold ones; the worst, and the most repetitive."""
    scores, repeated = answers.scores, np.array([repetition(guess) for guess in answers.guess])
    worst = np.argsort(scores, kind="stable")[:most].tolist()
    again = [i for i in np.argsort(-repeated, kind="stable")[:most].tolist() if repeated[i]]
    told = f"by the share of their runs of {RUN} words that have come before" if again else "no text repeats itself"
    return [
        _figures(answers, text),
        Section(
            "Worst texts",
            "by chrF against all gold texts of the source",
            examples=[shown(answers, i, text, f"chrF {scores[i]:.1f}") for i in worst],
        ),
        Section(
            "Most repetitive texts",
            told,
            examples=[shown(answers, i, text, f"{repeated[i]:.0%} repeated") for i in again],
        ),
    ]


def shown(answers: Written, i: int, text: Mapping[str, str], figure: str) -> Shown:
    """An example with what is written and what should have been."""
    where = answers.where[i]
    return Shown(f"{figure}  {where}", f"{answers.guess[i]}\ngold: {answers.gold[i][0]}\nsource: {text[where]}")


def runs(text: str) -> list[tuple[str, ...]]:
    """All sequences of :data:`RUN` words, in lower case."""
    words = WORD.findall(text.lower())
    return [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]


def repetition(text: str) -> float:
    """The share of a text's runs that have come in it before; 0 of a text that is too short for one."""
    every = runs(text)
    return 1 - len({*every}) / len(every) if every else 0.0


def copied(text: str, source: str) -> float:
    """The share of a text's runs that are in its source."""
    every, known = runs(text), {*runs(source)}
    return sum(run in known for run in every) / len(every) if every else 0.0


def _figures(answers: Written, text: Mapping[str, str]) -> Section:
    sources = [text[where] for where in answers.where]
    written = _column(zip(answers.guess, sources, strict=True))
    every = [(one, source) for gold, source in zip(answers.gold, sources, strict=True) for one in gold]
    gold = _column(every)
    rows = [[name, value, gold[name]] for name, value in written.items()]
    note = f"{len(sources):,} sources, {len(every):,} gold texts; mean chrF {answers.scores.mean():.1f}"
    return Section("Written texts", note, Table(["", "written", "gold"], rows))


def _column(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Figures of texts and their sources, by name."""
    texts, sources = zip(*pairs, strict=True)
    shares = [copied(text, source) for text, source in zip(texts, sources, strict=True)]
    words = [len(WORD.findall(text)) for text in texts]
    others = Counter(text for text, _ in {*zip(texts, sources, strict=True)})  # how many sources a text is written for
    return {
        "words, mean": f"{np.mean(words):.1f}",
        "words, least and most": f"{min(words)}, {max(words)}",
        "empty": f"{np.mean([not n for n in words]):.1%}",
        "same for another source": f"{np.mean([others[text] > 1 for text in texts]):.1%}",
        f"{RUN} words twice": f"{np.mean([repetition(text) > 0 for text in texts]):.1%}",
        f"runs of {RUN} words from the source": f"{np.mean(shares):.1%}",
    }
