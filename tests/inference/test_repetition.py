"""Rules against repetition, on what a decoder and an encoder-decoder write."""

from typing import Any

import pytest
import torch
from transformers import LogitsProcessorList, NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

from research.data.batch import IGNORE
from research.errors import UserError
from research.inference.repetition import first_written, without_repetition
from research.inference.writing import write
from research.step import Clean


def written(student: Any, tokens: Any, room: int = 24, **settings: Any) -> list[list[int]]:
    rows = write(student, tokens.ids, tokens.mask.sum(1), room, **settings)
    return [row[row != IGNORE].tolist() for row in rows]


def repeats(row: list[int], n: int) -> bool:
    runs = [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]
    return len({*runs}) < len(runs)


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_no_run_of_tokens_is_written_twice(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny(name, seed=1)
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    first = first_written(student, tokens.mask.sum(1))
    assert any(repeats(row, 2) for row in written(student, tokens))
    ruled = written(student, tokens, logits_processor=without_repetition(first, ngram=2))
    assert not any(repeats(row, 2) for row in ruled)


def test_the_source_is_no_repetition() -> None:
    """As transformers' own rules over what is written alone; over the source too they differ."""
    ids, scores = torch.tensor([[5, 6, 7, 5]]), torch.arange(1.0, 9.0)[None]
    for rule, ours in (
        (NoRepeatNGramLogitsProcessor(2), without_repetition(3, ngram=2)),
        (RepetitionPenaltyLogitsProcessor(2.0), without_repetition(3, penalty=2)),
    ):
        assert torch.equal(ours(ids, scores), rule(ids[:, 3:], scores))
        assert not torch.equal(ours(ids, scores), rule(ids, scores))
        assert torch.equal(ours(ids[:, :3], scores), scores), "nothing is written yet"
    assert without_repetition(3) == LogitsProcessorList()


@pytest.mark.parametrize("settings", [{"ngram": -1}, {"penalty": 0.5}])
def test_settings_out_of_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must be at least 0 and 1"):
        without_repetition(0, **settings)


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_a_text_has_at_least_and_at_most_so_many_tokens(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny(name, seed=1)
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    free = written(student, tokens, 12, do_sample=True, temperature=3.0)
    least = written(student, tokens, 12, min_new_tokens=7)
    assert all(len(row) <= 12 for row in free)
    assert all(len(row) >= 7 and student.vocabulary.end not in row[:7] for row in least)
