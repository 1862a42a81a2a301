"""Rules on what is written that leave the source out."""

from typing import TYPE_CHECKING, Any

from torch import Tensor

from research.errors import UserError
from research.inference.writing import writes_apart

if TYPE_CHECKING:
    from transformers import LogitsProcessorList

    from research.models.student import Student


def first_written(student: "Student", lengths: Tensor) -> int:
    """The column of ``generate``'s ids where the writing begins, for sources of lengths (N,)."""
    return 1 if writes_apart(student) else int(lengths.max())


class Written:
    """A logits processor of Transformers that is shown only what is written.

    A decoder writes behind its source, and a rule against repetition would forbid it to take a name from there.
    """

    def __init__(self, rule: Any, first: int) -> None:
        self.rule, self.first = rule, first

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores (N, V) after ids (N, L), as the rule has them after ids (N, L - first)."""
        return self.rule(input_ids[:, self.first :], scores)


def without_repetition(first: int, ngram: int = 0, penalty: float = 1.0) -> "LogitsProcessorList":
    """Rules for the ``logits_processor`` of ``generate``.

    Args:
        first: as :func:`first_written` has it.
        ngram: no run of so many tokens is written twice; 0 allows all.
        penalty: what the scores of written tokens are divided by (Keskar et al. 2019, arXiv:1909.05858), at least 1.

    Raises:
        UserError: for a setting out of its range.
    """
    from transformers import LogitsProcessorList, NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

    if ngram < 0 or penalty < 1:
        raise UserError(f"ngram is {ngram} and penalty {penalty}; they must be at least 0 and 1")
    rules = LogitsProcessorList()
    if ngram:
        rules.append(Written(NoRepeatNGramLogitsProcessor(ngram), first))
    if penalty > 1:
        rules.append(Written(RepetitionPenaltyLogitsProcessor(float(penalty)), first))
    return rules
