"""Several texts a source, against transformers with one source at a time."""

from typing import Any

import pytest
import torch

from research.errors import UserError
from research.inference.candidates import best, distinct, write_candidates
from research.step import Clean


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_candidates_are_the_beams_of_each_source_alone(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny(name, seed=3)
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    found = write_candidates(student, tokens, 9, 4)
    for text, mine in zip(texts, found, strict=True):
        ids = torch.tensor([[*student.tokenizer(text, add_special_tokens=False)["input_ids"], student.vocabulary.end]])
        beams = dict(max_new_tokens=9, num_beams=4, num_return_sequences=4, do_sample=False)
        ends = dict(eos_token_id=student.vocabulary.end, pad_token_id=student.vocabulary.pad)
        start = {"decoder_start_token_id": student.vocabulary.start} if name == "t5" else {}
        mask = torch.ones_like(ids)
        written = student.model.generate(input_ids=ids, attention_mask=mask, **beams, **ends, **start)
        rows = written[:, 1 if name == "t5" else ids.shape[1] :]
        expected = [student.tokenizer.decode(row, skip_special_tokens=True) for row in rows]
        assert mine == distinct(expected) and mine[0] == expected[0]
    assert max(map(len, found)) > 1


def test_drawn_candidates_repeat_with_the_seed(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("gpt2")
    tokens = batch_of(student, texts[:2], [Clean()]).views[Clean()]

    def draw(seed: int) -> list[list[str]]:
        torch.manual_seed(seed)
        return write_candidates(student, tokens, 6, 5, do_sample=True)

    assert draw(1) == draw(1) != draw(2)
    assert all(1 <= len(few) <= 5 for few in draw(1))


def test_no_room_and_no_candidates(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("gpt2", architecture={"n_positions": 8})
    tokens = batch_of(student, [" ".join(texts)], [Clean()]).views[Clean()]
    tokens.ids, tokens.mask = tokens.ids[:, :8], tokens.mask[:, :8]
    assert write_candidates(student, tokens, 9, 3) == [[""]]
    with pytest.raises(UserError, match="count is 0"):
        write_candidates(student, tokens, 9, 0)


def test_equal_texts_count_once_and_the_first_of_the_best_wins() -> None:
    assert distinct(["A b.", "c", "a  B", "C .", "d"]) == ["A b.", "c", "d"]
    assert best(["aa", "b", "c"], len) == "b"
