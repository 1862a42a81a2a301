"""Few-shot episodes: what a batch holds, that its position alone decides, and what cannot be."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from research.data import Curriculum, TaskDataModule
from research.data.episodes import Episodes
from research.data.sources import CSV
from research.errors import UserError
from research.models import Student


@pytest.fixture(scope="module")
def student(tiny: Any) -> Student:
    return tiny("bert", architecture={"max_position_embeddings": 64})


def task(slices: Path, episodes: Episodes | None, **given: Any) -> TaskDataModule:
    source = CSV(str(slices / "banking77" / "train.csv"), "text", label="category")
    return TaskDataModule(source, validation=0.0, max_length=32, episodes=episodes, **given)


def test_support_of_each_class_then_queries(student: Student, connect: Any, slices: Path) -> None:
    stream = connect(task(slices, Episodes(3, 2, 4)), student).training()
    seen: Counter[int] = Counter()
    assert len(stream) == 3, "40 examples, 18 an episode"
    for position in range(60):
        batch = stream[position]
        assert len(set(batch.index.tolist())) == 18
        support, queries = batch.labels[:6].tolist(), batch.labels[6:].tolist()
        assert sorted(Counter(support).values()) == [2, 2, 2]
        assert Counter(queries) == {c: 4 for c in support}
        seen.update(set(support))
    assert all(abs(seen[c] - 60 * 3 / 5) < 4 * np.sqrt(60 * 0.6 * 0.4) for c in range(5)), "no class is preferred"


def test_an_episode_depends_on_its_position_alone(student: Student, connect: Any, slices: Path) -> None:
    stream = connect(task(slices, Episodes(2, 1, 1)), student).training()
    whole = [stream[p].index.tolist() for p in range(40)]
    again = pickle.loads(pickle.dumps(stream))
    assert [again[p].index.tolist() for p in reversed(range(40))] == whole[::-1]
    assert len({tuple(episode) for episode in whole}) > 30


def test_held_out_data_are_no_episodes(student: Student, connect: Any, slices: Path) -> None:
    module = connect(task(slices, Episodes(2, 1, 1), batch_size=7), student)
    plain = module.stream("train")
    assert sorted(i for p in range(len(plain)) for i in plain[p].index.tolist()) == list(range(40))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Episodes(1, 1, 1), "ways is 1; it must be at least 2"),
        (lambda: Episodes(2, 0, 1), "shots is 0; it must be at least 1"),
        (lambda: Episodes(2, 1, 0), "queries is 0; it must be at least 1"),
    ],
)
def test_settings_out_of_range(make: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        make()


def test_episodes_that_cannot_be(student: Student, connect: Any, slices: Path) -> None:
    with pytest.raises(UserError, match=r"streams\.stream\.init_args\.episodes: ways is 6; there are 5 labels"):
        connect(task(slices, Episodes(6, 1, 1)), student).training()
    told = r"episodes: shots and queries need 9; label 'activate_my_card' has 8 training texts"
    with pytest.raises(UserError, match=told):
        connect(task(slices, Episodes(2, 5, 4)), student).training()
    with pytest.raises(UserError, match="episodes need problem 'classify', and no curriculum"):
        task(slices, Episodes(2, 1, 1), curriculum=Curriculum(10))
