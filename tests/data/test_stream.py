"""A stream is a pure function of the position, sees every example once a pass, and saves padding."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from research.data import CorpusDataModule
from research.data.batch import Batch, Example, pad, pad_rows
from research.data.masking import Masked
from research.data.sampling import HOLE
from research.data.sources import TextFiles
from research.data.stream import Stream
from research.models import Student
from research.step import Clean, View

VIEWS = [Clean(), Masked()]


class Numbered:
    """Examples that tell their index: number i is i + 10, as often as ``lengths`` says."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = np.array(lengths)

    def __getitem__(self, index: int) -> Example:
        return Example(np.full(self.lengths[index], index + 10))


@pytest.fixture
def student(tiny: Any) -> Student:
    return tiny("bert")


def stream(student: Student, n: int = 37, views: Sequence[View] = VIEWS, **given: Any) -> Stream:
    lengths = np.random.default_rng(0).integers(1, 40, n)
    settings = {"name": "s", "batch_size": 5, "seed": 0, "shuffle": True} | given
    name, labels = settings.pop("name"), torch.arange(n)
    return Stream(name, Numbered(lengths), labels, views, student.family, student.vocabulary, **settings)


def same(left: Batch | None, right: Batch | None) -> bool:
    assert left is not None and right is not None
    for view in VIEWS:
        for name in ("ids", "mask", "labels"):
            a, b = getattr(left.views[view], name), getattr(right.views[view], name)
            if (a is None) != (b is None) or (a is not None and not torch.equal(a, b)):
                return False
    return bool(torch.equal(left.labels, right.labels))  # type: ignore[arg-type]


def seen(part: Stream, positions: Sequence[int]) -> list[int]:
    """Which examples come, by the ids in the batches themselves."""
    return [int(row[1]) - 10 for p in positions for row in part[p].views[Clean()].ids]  # type: ignore[union-attr]


def test_any_order_and_any_worker_gives_the_same_batches(student: Student) -> None:
    part, positions = stream(student), [3, 0, 17, 4, 9, 8, 25, 1]
    expected = {p: part[p] for p in sorted(positions)}
    fresh = pickle.loads(pickle.dumps(stream(student)))
    for workers in (0, 2):
        loader = DataLoader(fresh, batch_size=None, sampler=positions, num_workers=workers)
        batches = list(loader)
        assert len(batches) == len(positions)
        for p, batch in zip(positions, batches, strict=True):
            assert same(batch, expected[p]), (workers, p)


def test_seed_name_and_pass_make_other_batches(student: Student) -> None:
    part = stream(student)
    assert same(part[2], stream(student)[2])
    assert not same(part[2], stream(student, seed=1)[2])
    assert not same(part[2], stream(student, name="t")[2])
    passes = [seen(part, range(8 * k, 8 * k + 8)) for k in range(3)]
    assert passes[0] != passes[1] != passes[2] != passes[0]


def test_masks_are_drawn_anew_in_each_pass(student: Student) -> None:
    """In a pass over one batch the examples are the same, the masked positions are not."""
    part = stream(student, n=5, shuffle=False)
    first, second = part[0], part[1]
    assert first is not None and second is not None
    assert torch.equal(first.views[Clean()].ids, second.views[Clean()].ids)
    assert not torch.equal(first.views[Masked()].labels, second.views[Masked()].labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("n, size", [(37, 5), (1, 4), (40, 5), (1000, 3)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_pass_sees_each_example_once(n: int, size: int, shuffle: bool, student: Student) -> None:
    part = stream(student, n, [Clean()], batch_size=size, shuffle=shuffle)
    assert len(part) == -(-n // size)
    for which in range(2):
        positions = range(which * len(part), (which + 1) * len(part))
        assert sorted(seen(part, positions)) == list(range(n))
    sizes = [len(part[p]) for p in range(len(part))]  # type: ignore[arg-type]
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1 and sum(sizes) == n
    assert [i for p in range(len(part)) for i in part[p].index.tolist()] == seen(part, range(len(part)))


def test_labels_go_with_their_examples(student: Student) -> None:
    part = stream(student)
    for p in range(20):
        batch = part[p]
        assert batch is not None and batch.labels is not None
        assert batch.labels.tolist() == seen(part, [p])


def test_without_shuffling_the_order_stays(student: Student) -> None:
    """Batches hold neighbours in length, and come in an order of which the first few stand for the whole."""
    part = stream(student, n=400, shuffle=False)
    batches = [seen(part, [p]) for p in range(len(part))]
    assert batches == [seen(part, [p]) for p in range(len(part), 2 * len(part))]
    lengths = [part.examples.lengths[index] for index in batches]
    assert sorted(np.concatenate(lengths)) == list(np.concatenate(sorted(lengths, key=lambda batch: batch.tolist())))
    few = np.concatenate(lengths[: len(part) // 4]).mean()
    assert few == pytest.approx(part.examples.lengths.mean(), rel=0.25)


def test_hole(student: Student) -> None:
    assert stream(student)[HOLE] is None
    loader: Any = DataLoader(stream(student), batch_size=None, sampler=[HOLE, 0], num_workers=0)
    assert [batch is None for batch in loader] == [True, False]


def test_a_short_stream_mixes_its_batches_anew_in_each_pass(student: Student) -> None:
    """One bucket of all its examples would sort them into the same batches."""
    part = stream(student, n=40)
    passes = [{tuple(sorted(seen(part, [which * len(part) + p]))) for p in range(len(part))} for which in range(2)]
    assert not passes[0] & passes[1]


def test_buckets_pad_less_on_real_text(shared: Path, student: Student, connect: Any) -> None:
    """Against batches of the same examples in an order without buckets."""
    source = TextFiles(str(shared / "wikitext2" / "test.txt"), unit="line")
    part = connect(CorpusDataModule(source, validation=0.0, batch_size=8), student).stream("train")

    def padding(batches: Sequence[Sequence[int]]) -> float:
        lengths = [[len(part.examples[int(i)].first) + 2 for i in index] for index in batches]
        return 1 - sum(map(sum, lengths)) / sum(len(row) * max(row) for row in lengths)

    order = np.random.default_rng(0).permutation(len(part.examples.lengths))
    plain = padding([order[i : i + 8].tolist() for i in range(0, len(order), 8)])
    bucketed = padding([part[p].index.tolist() for p in range(len(part))])
    assert plain > 0.4 and bucketed < plain / 3
    masks = torch.cat([part[p].views[Clean()].mask.flatten() for p in range(len(part))])  # type: ignore[union-attr]
    assert 1 - masks.float().mean().item() == pytest.approx(bucketed, abs=1e-6)


def test_buckets_stay_random(student: Student) -> None:
    """Batches of a pass do not come by length, and batches of two passes hold other neighbours."""
    part = stream(student, n=500)
    means = [float(np.mean(part.examples.lengths[seen(part, [p])])) for p in range(len(part))]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4
    batches = [{frozenset(seen(part, [p])) for p in range(100 * k, 100 * k + 100)} for k in range(2)]
    assert len(batches[0] & batches[1]) < 5


def test_padding_by_hand() -> None:
    assert pad([np.array([1, 2, 3]), np.array([4])], 0).tolist() == [[1, 2, 3], [4, 0, 0]]


def test_token_types_and_masks_of_pairs_by_hand(student: Student) -> None:
    v = student.vocabulary
    rows = [
        student.family.frame(Example(np.array([11, 12]), np.array([21])), v),
        student.family.frame(Example(np.array([13]), np.array([22, 23, 24])), v),
        student.family.frame(Example(np.array([14])), v),
    ]
    tokens = pad_rows(rows, v.pad, types=True)
    assert tokens.types is not None
    assert tokens.types.tolist() == [[0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1], [0] * 7]
    assert tokens.mask.sum(1).tolist() == [6, 7, 3]
    assert pad_rows(rows, v.pad, types=False).types is None


def test_batches_move_between_devices_whole(student: Student) -> None:
    batch = stream(student)[0]
    assert batch is not None
    moved = batch.to(torch.device("cpu"))
    assert same(moved, batch) and len(moved) == 5
    assert moved.real_tokens == int(batch.views[Clean()].mask.sum())
