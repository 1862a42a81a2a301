"""Real questions as the published MiniLM's tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.data.vocabulary import Vocabulary
from research.models.families import Encoder


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture(scope="session")
def vocabulary(minilm_tokenizer: Any) -> Vocabulary:
    return Vocabulary.of(minilm_tokenizer)


@pytest.fixture(scope="session")
def questions(shared: Path, minilm_tokenizer: Any) -> list[np.ndarray]:
    """The 500 test questions of TREC, ids without special tokens."""
    lines = (shared / "trec" / "test.all").read_text(encoding="latin-1").splitlines()
    rows = minilm_tokenizer([line.partition(" ")[2] for line in lines], add_special_tokens=False)["input_ids"]
    return [np.array(row) for row in rows]
