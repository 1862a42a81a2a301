"""How close written texts come to what people wrote."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from research.errors import UserError

ROUGE = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}


def require_libraries() -> None:
    """Raises:
    UserError: where the extra is not installed.
    """
    for library in ("rouge_score", "sacrebleu"):
        if find_spec(library) is None:
            raise UserError(
                f"comparing texts needs the extra: pip install 'hybrid-fine-tuning[generation]' ({library})"
            )


def text_figures(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Figures in [0, 100] of N texts against the references of each, one or more.

    ``bleu`` (Papineni et al. 2002) and ``chrf`` (Popović 2015) are those of the corpus, by sacrebleu with its standard
    settings; ``rouge_1``, ``rouge_2`` and ``rouge_l`` (Lin 2004) are the mean over texts of the F1 with the reference
    that suits best, by rouge_score without stemming. All but chrF read English letters and digits best: take chrF
    alone for scripts without spaces.
    """
    require_libraries()
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]
    from sacrebleu.metrics import BLEU, CHRF

    most = max(map(len, references))
    columns: Any = [[given[i] if i < len(given) else None for given in references] for i in range(most)]
    figures = {"bleu": BLEU().corpus_score(texts, columns).score, "chrf": CHRF().corpus_score(texts, columns).score}
    scorer = RougeScorer(list(ROUGE.values()))
    scores = [scorer.score_multi(list(given), text) for text, given in zip(texts, references, strict=True)]
    for name, theirs in ROUGE.items():
        figures[name] = 100 * sum(score[theirs].fmeasure for score in scores) / len(scores)
    return figures


def chrf_of_each(texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The chrF in [0, 100] of each of N texts by itself, against its references, as sacrebleu scores a sentence."""
    require_libraries()
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    return [metric.sentence_score(text, list(given)).score for text, given in zip(texts, references, strict=True)]
