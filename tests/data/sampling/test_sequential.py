"""Phases by hand."""

from collections import Counter

import pytest

from research.data.sampling import Phase, Sequential
from research.errors import UserError


def test_by_hand() -> None:
    mixture = Sequential([Phase(["a"], 2), Phase(["b", "wiki"], 3), Phase(["c", "wiki"], 1)])
    mixture.connect(["a", "b", "c", "wiki"], 0)
    assert mixture.epoch_steps({}) == 6
    turns = {name: [mixture.turn(name, step) for step in range(8)] for name in ("a", "b", "c", "wiki")}
    assert turns == {
        "a": [0, 1, None, None, None, None, None, None],
        "b": [None, None, 0, 1, 2, None, None, None],
        "c": [None, None, None, None, None, 0, 1, 2],
        "wiki": [None, None, 0, 1, 2, 3, 4, 5],
    }


def test_a_stream_that_comes_back_goes_on() -> None:
    mixture, given = Sequential([Phase(["a"], 4), Phase(["b"], 2), Phase(["a", "b"], 3)]), Counter[str]()
    for step in range(12):
        for name in ("a", "b"):
            if (turn := mixture.turn(name, step)) is not None:
                assert turn == given[name]
                given[name] += 1
    assert given == {"a": 4 + 6, "b": 2 + 6}


def test_refused() -> None:
    with pytest.raises(UserError, match="phases: give at least one"):
        Sequential([])
    with pytest.raises(UserError, match=r"a phase of 0 steps over \['a'\]"):
        Phase(["a"], 0)
    with pytest.raises(UserError, match=r"phases name \['a'\], data.streams has \['a', 'b'\]"):
        Sequential([Phase(["a"], 1)]).connect(["a", "b"], 0)
