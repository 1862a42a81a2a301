"""BLEU, chrF and ROUGE of real sentences against nltk's and torchmetrics' implementations."""

import csv
from pathlib import Path

import pytest
from torchmetrics.functional.text import chrf_score, rouge_score

from research.evaluation.generation import text_figures

nltk_bleu = pytest.importorskip("nltk.translate.bleu_score")


@pytest.fixture
def sentences(slices: Path) -> list[str]:
    """Words with a space around each, so that all tokenizers agree on them."""
    with (slices / "e2e.csv").open(newline="") as file:
        kept = [[w for w in row["ref"].lower().replace(".", "").split() if w.isalpha()] for row in csv.DictReader(file)]
    return [" ".join(words) for words in kept]


def test_figures_are_those_of_other_libraries(sentences: list[str]) -> None:
    """Texts of another's words in part, with one, two or three references each."""
    texts = [" ".join(a.split()[:7] + b.split()[4:9]) for a, b in zip(sentences[:8], sentences[8:16], strict=True)]
    references = [[sentences[i], sentences[8 + i], sentences[16 + i]][: 1 + i % 3] for i in range(8)]
    figures = text_figures(texts, references)
    split = [[r.split() for r in given] for given in references]
    bleu = nltk_bleu.corpus_bleu(split, [text.split() for text in texts])
    assert figures["bleu"] == pytest.approx(100 * bleu, abs=1e-6) and 5 < figures["bleu"] < 95
    chrf = chrf_score(texts, references, n_word_order=0)
    assert figures["chrf"] == pytest.approx(100 * float(chrf), abs=1e-3) and 5 < figures["chrf"] < 95
    for mine, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        expected = rouge_score(texts, references, accumulate="best", rouge_keys=theirs)[f"{theirs}_fmeasure"]
        assert figures[mine] == pytest.approx(100 * float(expected), abs=1e-3) and 5 < figures[mine] < 95


def test_the_same_text_is_worth_all(sentences: list[str]) -> None:
    figures = text_figures(sentences[:3], [[s] for s in sentences[:3]])
    assert set(figures) == {"bleu", "chrf", "rouge_1", "rouge_2", "rouge_l"}
    assert all(value == pytest.approx(100) for value in figures.values())
