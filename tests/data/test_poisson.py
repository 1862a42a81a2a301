"""Poisson sampling: each example by a chance of its own."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from research.data.batch import Example
from research.data.poisson import Poisson
from research.data.rows import rows_of
from research.data.sampling import HOLE
from research.data.stream import Stream
from research.step import Clean


class Numbered:
    """Examples that tell their index: number i is i + 10, some of them longer than others."""

    lengths = np.arange(1, 41)

    def __getitem__(self, index: int) -> Example:
        return Example(np.full(self.lengths[index], index + 10))


def sampled(tiny: Any, batch_size: int = 10, repeatable: bool = True) -> Poisson:
    student = tiny("bert")
    settings = {"batch_size": batch_size, "seed": 0, "shuffle": True}
    stream = Stream("s", Numbered(), torch.arange(40), [Clean()], student.family, student.vocabulary, **settings)
    return Poisson(stream, repeatable)


def test_each_example_comes_by_chance_and_alone(tiny: Any) -> None:
    part, steps = sampled(tiny), 2000
    assert (part.rate, part.size) == (0.25, 40)
    taken = np.zeros((steps, 40))
    for position in range(steps):
        for (i,) in part.taken(position):
            taken[position, i] += 1
    assert taken.max() == 1, "an example comes twice"
    share = taken.mean(0)
    assert abs(share - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / steps)
    assert stats.kstest(taken.sum(1) + np.random.default_rng(0).random(steps), uniformised).pvalue > 1e-3
    together = np.corrcoef(taken.T)[np.triu_indices(40, 1)]
    assert abs(together).max() < 5 / np.sqrt(steps)


def uniformised(x: np.ndarray) -> np.ndarray:
    """The distribution of a binomial number of examples, with a uniform part added that makes it continuous."""
    k = np.floor(x)
    law = stats.binom(40, 0.25)
    return law.cdf(k - 1) + (x - k) * law.pmf(k)


def test_its_batches_are_those_examples(tiny: Any) -> None:
    part = sampled(tiny)
    batch, again = part[3], pickle.loads(pickle.dumps(part))[3]
    assert batch is not None and again is not None
    expected = [int(i) for (i,) in part.taken(3)]
    assert batch.labels is not None and batch.labels.tolist() == expected
    assert (batch.views[Clean()].ids[:, 1] - 10).tolist() == expected
    assert torch.equal(batch.views[Clean()].ids, again.views[Clean()].ids)
    assert part[HOLE] is None
    for row, i in zip(rows_of(batch), expected, strict=True):
        tokens = row.views[Clean()]
        assert tokens.ids.shape == tokens.mask.shape == (1, Numbered.lengths[i] + 2) and tokens.mask.all()
        assert row.labels is not None and row.labels.tolist() == [i]


def test_none_at_all_is_no_batch(tiny: Any) -> None:
    part = sampled(tiny, batch_size=1)
    sizes = [len(part.taken(position)) for position in range(60)]
    assert 0 in sizes
    assert all((part[position] is None) == (size == 0) for position, size in enumerate(sizes))


def test_without_a_seed_nobody_can_repeat_it(tiny: Any) -> None:
    part = sampled(tiny, repeatable=False)
    drawn = [[int(i) for (i,) in part.taken(0)] for _ in range(3)]
    assert drawn[0] != drawn[1] and drawn[1] != drawn[2]


@pytest.mark.parametrize("batch_size", [40, 100])
def test_no_more_than_all(tiny: Any, batch_size: int) -> None:
    part = sampled(tiny, batch_size=batch_size)
    assert part.rate == 1 and len(part.taken(0)) == 40
