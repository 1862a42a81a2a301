"""What a text has to say is in it, whatever the student would have written."""

from typing import Any

import pytest
import torch
from transformers import LogitsProcessorList

from research.errors import UserError
from research.inference.repetition import first_written
from research.inference.required import Required, containing
from research.inference.writing import write_texts
from research.step import Clean

PHRASES = [["the north river", "in 1970"], [], ["song of the year"]]


@pytest.fixture(params=["gpt2", "t5"])
def asked(request: Any, tiny: Any, texts: list[str], batch_of: Any) -> tuple[Any, Any, int]:
    """A student, what it reads, and where its writing begins."""
    student = tiny(request.param, seed=2)
    tokens = batch_of(student, texts[:3], [Clean()]).views[Clean()]
    return student, tokens, first_written(student, tokens.mask.sum(1))


def rule(student: Any, first: int, phrases: list[list[str]], room: int) -> LogitsProcessorList:
    lacking = [containing(few) for few in phrases]
    return LogitsProcessorList([Required(lacking, student.tokenizer, first, student.vocabulary.end, room)])


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"do_sample": True, "temperature": 2.0}])
def test_every_phrase_is_written(asked: Any, settings: dict[str, Any]) -> None:
    student, tokens, first = asked
    torch.manual_seed(0)
    free = write_texts(student, tokens, 40)
    texts = write_texts(student, tokens, 40, logits_processor=rule(student, first, PHRASES, 40), **settings)
    for text, phrases in zip(texts, PHRASES, strict=True):
        assert all(phrase in text.lower() for phrase in phrases)
    assert not any(phrase in text.lower() for text, few in zip(free, PHRASES, strict=True) for phrase in few)
    if not settings:
        assert texts[1] == free[1], "where nothing is lacking nothing is changed"


def test_just_enough_room_is_enough(asked: Any) -> None:
    student, tokens, first = asked
    phrases = [["the north river"], ["the north river"], ["the north river"]]
    room = len(student.tokenizer.encode(" the north river", add_special_tokens=False)) + 1
    texts = write_texts(student, tokens, room, logits_processor=rule(student, first, phrases, room))
    assert all(text.strip().startswith("the north river") for text in texts)
    with pytest.raises(
        UserError, match=f"text 1 must say what takes {room} tokens with its end; it may have {room - 1}"
    ):
        rule(student, first, phrases, room - 1)


def test_the_end_is_where_the_clause_goes(asked: Any) -> None:
    """A student that would end at once writes the clause, and then ends."""
    student, _, first = asked
    end = student.vocabulary.end
    ids = torch.zeros((1, first), dtype=torch.long)
    required = Required([containing(["in 1970"])], student.tokenizer, first, end, 30)
    scores = torch.zeros((1, len(student.tokenizer)))
    scores[0, end] = 1.0
    for _ in range(20):
        token = required(ids, scores).argmax(1)
        ids = torch.cat([ids, token[:, None]], 1)
        if token == end:
            break
    assert student.tokenizer.decode(ids[0, first:-1]).strip() == "in 1970" and ids[0, -1] == end


@pytest.mark.parametrize("phrase", ["", " ", "\u200b\t", "snow ☃ man"])
def test_a_phrase_that_the_tokenizer_cannot_write_is_refused(tiny: Any, phrase: str) -> None:
    student = tiny("t5")
    with pytest.raises(UserError, match="the student's tokenizer cannot write"):
        Required([lambda text: [phrase]], student.tokenizer, 1, student.vocabulary.end, 30)
