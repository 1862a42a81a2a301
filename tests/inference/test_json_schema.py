"""What is written by a schema, judged by the package jsonschema."""

import json
import sys
from typing import Any

import pytest
import torch

from research.errors import UserError
from research.inference.json_schema import JSONSchema, write_json
from research.inference.writing import write_texts
from research.step import Clean

pytest.importorskip("llguidance")
jsonschema = pytest.importorskip("jsonschema")
SCHEMA = {
    "type": "object",
    "properties": {
        "area": {"enum": ["city centre", "riverside"]},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
    },
    "required": ["area", "rating", "tags"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"do_sample": True, "temperature": 1.5}])
def test_every_text_is_of_the_schema(settings: dict[str, Any], tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("gpt2", seed=4, architecture={"n_positions": 256})
    tokens = batch_of(student, texts, [Clean()]).views[Clean()]
    torch.manual_seed(0)
    values = write_json(student, tokens, SCHEMA, 90, **settings)
    for value in values:
        jsonschema.validate(value, SCHEMA)
    assert not any(text.startswith("{") for text in write_texts(student, tokens, 90))
    if "do_sample" in settings:
        assert len({json.dumps(value) for value in values}) > 1


def test_a_text_that_does_not_end_is_none(tiny: Any, texts: list[str], batch_of: Any) -> None:
    student = tiny("gpt2")
    tokens = batch_of(student, texts[:2], [Clean()]).views[Clean()]
    assert write_json(student, tokens, SCHEMA, 4) == [None, None]


def test_what_cannot_be_written_is_refused(tiny: Any, monkeypatch: Any) -> None:
    gpt2 = tiny("gpt2").tokenizer
    with pytest.raises(UserError, match="schema: Invalid type: nonsense"):
        JSONSchema({"type": "nonsense"}, gpt2, 0)
    with pytest.raises(UserError, match="tokenizer, which is not on bytes, cannot write JSON"):
        JSONSchema(SCHEMA, tiny("t5").tokenizer, 0)
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(UserError, match=r"pip install 'hybrid-fine-tuning\[schema\]'"):
        JSONSchema(SCHEMA, gpt2, 0)
