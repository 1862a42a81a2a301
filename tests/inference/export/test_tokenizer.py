"""The tokenizer that is given away lays texts out as training did."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from research.data.batch import Example, pad_rows
from research.inference.export.tokenizer import framing

TEXTS, SECONDS = ["how do I top up", "my card"], ["by card , or in cash ?", "was lost"]


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "t5"])
@pytest.mark.parametrize("pair", [False, True])
def test_it_frames_as_the_family_does(given, tmp_path, kind, pair):
    student = given(kind).student
    framing(student, 30).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    found = tokenizer(TEXTS, SECONDS if pair else None, padding=True)

    def ids(text):
        return np.array(student.tokenizer(text, add_special_tokens=False)["input_ids"])

    examples = [Example(ids(a), ids(b) if pair else None) for a, b in zip(TEXTS, SECONDS, strict=True)]
    rows = [student.family.frame(example, student.vocabulary) for example in examples]
    tokens = pad_rows(rows, student.vocabulary.pad, student.has_types)
    assert found["input_ids"] == tokens.ids.tolist()
    assert found["attention_mask"] == tokens.mask.long().tolist()
    assert ("token_type_ids" in found) == student.has_types
    if student.has_types:
        assert found["token_type_ids"] == tokens.types.tolist()


def test_it_cuts_to_the_length_of_training(given, tmp_path):
    student = given("bert").student
    framing(student, 6).save_pretrained(tmp_path)
    ids = AutoTokenizer.from_pretrained(tmp_path)("one two three four five six seven", truncation=True).input_ids
    assert len(ids) == 6 and ids[-1] == student.vocabulary.end
