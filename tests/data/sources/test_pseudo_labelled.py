"""Which pseudo-labels are kept; tests/integration/test_self_training.py trains on those of a run."""

from typing import Any

import numpy as np
import pytest

from research.data.sources import PseudoLabelled
from research.data.sources.pseudo_labelled import surest
from research.errors import UserError


def test_the_surest_of_each_class_by_hand() -> None:
    classes = np.array([0, 1, 0, 0, 1, 0, 2])
    sureness = np.array([0.9, 0.4, 0.5, 0.8, 0.6, 0.7, 0.3])
    assert surest(classes, sureness, 0.5).tolist() == [0, 3, 4, 6], "2 of 4, 1 of 2, and 1 of 1"
    assert surest(classes, sureness, 0.75).tolist() == [0, 1, 3, 4, 5, 6]
    assert surest(classes, sureness, 1.0).tolist() == list(range(7))


def test_refused(counted: Any) -> None:
    source = counted([{"text": "a"}])
    for keep in (0.0, 1.1):
        with pytest.raises(UserError, match=rf"keep is {keep}; it must lie in \(0, 1\]"):
            PseudoLabelled(source, "last.ckpt", "task", keep)
    with pytest.raises(UserError, match="count is 0; it must be at least 1"):
        PseudoLabelled(source, "last.ckpt", "task", count=0)
    with pytest.raises(UserError, match=r"checkpoint nowhere.ckpt: no such file"):
        PseudoLabelled(source, "nowhere.ckpt", "task").fingerprint()
