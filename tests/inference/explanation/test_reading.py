"""Where tokens stand in their texts: singles and pairs, whole and cut, of every family."""

from typing import Any

import numpy as np
import pytest

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference import Model
from research.inference.explanation.reading import read
from research.step import Clean

TEXT, PAIR = "The old valley, seen from a bridge!", "of stone near the river"


def model_of(student: Any, **given: Any) -> Model:
    student.add_head("s", 2)
    return Model(student.double().eval(), {"s": StreamInfo("classify", ("a", "b"), **given)})


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("pair", [None, PAIR])
@pytest.mark.parametrize("longest", [None, 12])
def test_each_token_is_the_characters_it_stands_for(
    name: str, pair: str | None, longest: int | None, tiny: Any
) -> None:
    student = tiny(name)
    model = model_of(student, max_length=longest)
    record = {"text": TEXT} if pair is None else {"text": TEXT, "text_pair": pair}
    reading = read(model, record)
    ids = reading.batch.views[Clean()].ids[0].tolist()
    assert len(ids) == len(reading.pieces) and (longest is None or len(ids) == longest)
    special = [bool(student.vocabulary.special[i]) for i in ids]
    assert [piece is None for piece in reading.pieces] == special
    for i, piece in zip(ids, reading.pieces, strict=True):
        if piece is not None:
            token = student.tokenizer.convert_ids_to_tokens(i).removeprefix("##").lstrip("Ġ▁")
            said = record[piece.field][piece.start : piece.end]
            assert said.strip().lower() == token.lower()
    assert all(a.word <= b.word for a, b in zip(reading.words, reading.words[1:], strict=False))
    logits = model.logits([record])
    np.testing.assert_allclose(model.class_logits("s", reading.batch).detach().numpy(), logits, atol=1e-5)


def test_weights_by_word(tiny: Any) -> None:
    reading = read(model_of(tiny("bert")), TEXT)
    words = [TEXT[word.start : word.end] for word in reading.words]
    assert words == ["The", "old", "valley", ",", "seen", "from", "a", "bridge", "!"]
    lengths = np.array([0 if piece is None else piece.end - piece.start for piece in reading.pieces], float)
    assert reading.by_word(lengths).tolist() == [len(word) for word in words]


def test_no_token(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"a\.txt:3: no token of it is known"):
        read(model_of(tiny("bert")), {"text": " ", "where": "a.txt:3"})
