"""A text without an end, and one too long, have no translation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from research.data.augment import Translator
from research.errors import UserError


@pytest.fixture
def endless(tiny: Any, tmp_path: Path) -> str:
    """The folder of a T5 that says one and the same token for ever."""
    tokenizer = tiny("t5").tokenizer
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1,
                 decoder_start_token_id=tokenizer.pad_token_id, tie_word_embeddings=False)
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.1)
        model.lm_head.weight[200] = 5.0
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def test_no_end_and_no_text(endless: str) -> None:
    translate = Translator(endless).load()
    assert translate(["a text", None, "another"], beams=1, max_length=12) == [None, None, None]
    assert translate([None], beams=1, max_length=12) == [None]
    assert translate(["a text that is much too long to be read"], beams=1, max_length=3) == [None]


def test_fingerprint_of_a_folder(endless: str) -> None:
    before = Translator(endless).fingerprint()
    assert before == Translator(endless).fingerprint() != Translator(endless, prefix="to French: ").fingerprint()
    (Path(endless) / "generation_config.json").write_text("{}")
    assert Translator(endless).fingerprint() != before


def test_missing() -> None:
    with pytest.raises(UserError, match="no such folder"):
        Translator("./nowhere").load()
