"""Which examples a stream's early batches show."""

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from research.data import CorpusDataModule, Curriculum, TaskDataModule
from research.data.sources import CSV, TextFiles
from research.data.stream import Stream
from research.errors import UserError
from research.models import Student


@pytest.fixture(scope="module")
def student(tiny: Callable[..., Student]) -> Student:
    return tiny("bert", architecture={"max_position_embeddings": 64})


@pytest.fixture
def wiki(student: Student, connect: Any, slices: Path) -> Callable[..., Any]:
    def wiki(curriculum: Curriculum | None) -> Any:
        source = TextFiles(str(slices / "wikitext.txt"), unit="line")
        return connect(CorpusDataModule(source, batch_size=8, max_length=32, curriculum=curriculum), student)

    return wiki


def shown(stream: Stream, positions: range) -> list[list[int]]:
    return [[int(i) for i in stream[p].index] for p in positions]  # type: ignore[union-attr]


def test_competence() -> None:
    """sqrt(p (1 - 0.36) / 100 + 0.36), by hand."""
    curriculum = Curriculum(100, start=0.6)
    for batch, expected in {0: 0.6, 25: math.sqrt(0.52), 50: math.sqrt(0.68), 100: 1.0, 500: 1.0}.items():
        assert curriculum.competence(batch) == pytest.approx(expected)


def test_early_batches_are_the_short_ones(wiki: Callable[..., Any]) -> None:
    curriculum = Curriculum(130, start=0.1)
    module = wiki(curriculum)
    taught, plain = module.training(), module.stream("train")
    lengths, n = plain.examples.lengths, len(plain.examples.lengths)
    ranks = np.argsort(np.argsort(lengths, kind="stable"))
    assert len(taught) == len(plain) < 130 < 2 * len(plain), "the curriculum ends within a pass"
    for position, batch in enumerate(shown(taught, range(130))):
        few = math.ceil(math.sqrt(position * 0.99 / 130 + 0.01) * n)
        assert len(set(batch)) == 8 and max(ranks[batch]) < max(few, 8), position
    assert shown(taught, range(130, 200)) == shown(plain, range(130, 200)), "then the passes go on"
    assert shown(taught, range(20)) != shown(plain, range(20))
    short = np.mean([taught[p].real_tokens for p in range(10)])
    assert short < 0.85 * np.mean([plain[p].real_tokens for p in range(10)])


def test_easy_examples_are_drawn_alike(wiki: Callable[..., Any]) -> None:
    """Of the examples that are easy enough from the first batch on, none is preferred."""
    taught = wiki(Curriculum(10**9, start=0.2)).training()
    n = len(taught.examples.lengths)
    easy = set(np.argsort(taught.examples.lengths, kind="stable")[: math.ceil(0.2 * n)].tolist())
    batches = shown(taught, range(400))
    counts = {i: sum(i in batch for batch in batches) for i in easy}
    assert sum(counts.values()) == 400 * 8
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_a_batch_depends_on_its_position_alone(wiki: Callable[..., Any]) -> None:
    curriculum = Curriculum(60)
    whole = shown(wiki(curriculum).training(), range(100))
    again = pickle.loads(pickle.dumps(wiki(curriculum).training()))
    assert shown(again, range(99, -1, -1)) == whole[::-1]


def test_losses_decide_where_they_are_known(student: Student, connect: Any, slices: Path, tmp_path: Path) -> None:
    csv = CSV(str(slices / "banking77" / "train.csv"), "text", label="category")
    where = [record["where"] for record in csv]
    path = tmp_path / "losses.jsonl"
    known = {w: float(i % 7) for i, w in enumerate(where) if i % 2}
    path.write_text("".join(json.dumps({"where": w, "loss": loss}) + "\n" for w, loss in known.items()))
    curriculum = Curriculum(1000, start=0.25, losses=str(path))
    task = connect(TaskDataModule(csv, validation=0.0, batch_size=4, max_length=32, curriculum=curriculum), student)
    taught = task.training()
    n = len(where)
    losses = np.array([known.get(task.where("train", i), math.inf) for i in range(n)])
    seen = {i for batch in shown(taught, range(60)) for i in batch}
    allowed = math.ceil(curriculum.competence(59) * n)
    assert max(losses[list(seen)]) <= np.sort(losses)[allowed - 1] < math.inf
    assert len(seen) > n // 8
    assert taught[0].labels is not None and len(taught[0].labels) == 4


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Curriculum(0), "batches is 0; it must be at least 1"),
        (lambda: Curriculum(5, start=0.0), "start is 0.0; it must be above 0 and at most 1"),
        (lambda: Curriculum(5, start=1.5), "start is 1.5"),
    ],
)
def test_refused(make: Callable[[], Curriculum], told: str) -> None:
    with pytest.raises(UserError, match=told):
        make()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"where": "a:1", "loss": 1}\n{"where": "a:2"}\n', r"losses\.jsonl:2: not a JSON object with 'where' and"),
        ("nonsense\n", r"losses\.jsonl:1: not a JSON object"),
        ('{"where": "elsewhere:1", "loss": 1}\n', r"losses\.jsonl: has a loss of none of the stream's examples"),
        (None, r"losses\.jsonl: cannot be read"),
    ],
)
def test_losses_that_cannot_be_used(text: str | None, told: str, wiki: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=told):
        wiki(Curriculum(5, losses=str(path))).training()
