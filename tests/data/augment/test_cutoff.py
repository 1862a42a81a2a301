"""Token cutoff: rates on real texts, and a cut token that truly tells the others nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from research.data.augment import TokenCutoff
from research.data.batch import Example, Tokens, pad_rows
from research.errors import UserError
from research.step import Clean


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_cut_tokens_tell_nothing(name: str, tiny: Any, texts: list[str], batch_of: Any) -> None:
    """Another token in a cut place changes no other state, and no pooled embedding; not even the first token's cut."""
    student = tiny(name)
    for seed in range(5):
        view = TokenCutoff(0.5)
        tokens = batch_of(student, texts, [view], seed=seed).views[view]
        lengths = batch_of(student, texts, [Clean()]).views[Clean()].mask
        cut = lengths & ~tokens.mask
        assert cut.any()
        other = Tokens(tokens.ids.clone(), tokens.mask, types=tokens.types)
        other.ids[cut] = int(np.flatnonzero(~student.vocabulary.special)[7])
        first, second = student(tokens), student(other)
        assert first.hidden.isfinite().all()
        torch.testing.assert_close(first.hidden[tokens.mask], second.hidden[tokens.mask], rtol=0, atol=1e-12)
        torch.testing.assert_close(student.embedding(first), student.embedding(second), rtol=0, atol=1e-12)
