"""Spans of real documents lie as DeCLUTR samples them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from research.data import CorpusDataModule
from research.data.batch import Example
from research.data.sources import TextFiles
from research.data.spans import AnchorSpan, PositiveSpan
from research.errors import UserError


class Whole:
    """A family that frames nothing, so that a row is its span."""

    def frame(self, example: Example, vocabulary: Any) -> Any:
        return example


TEXT = np.arange(1000)


def drawn(view: Any, text: np.ndarray, count: int, before: int = 0) -> np.ndarray:
    """Begin and end (count, 2) of a view's spans of a text 0, 1, 2, ..., built when so many numbers had been drawn."""
    family: Any = Whole()
    rngs = [np.random.default_rng([7, i]) for i in range(count)]
    for rng in rngs:
        rng.random(before)
    spans = [view.build(Example(text), family, None, rng).first for rng in rngs]
    assert all((np.diff(span) == 1).all() for span in spans)
    return np.array([(span[0], span[-1] + 1) for span in spans])


def test_lengths_and_places_of_anchors() -> None:
    spans = drawn(AnchorSpan(20, 120), TEXT, 2000)
    lengths = spans[:, 1] - spans[:, 0]
    assert lengths.min() >= 20 and lengths.max() <= 120
    assert stats.kstest((lengths + 0.5 - 20) / 100, stats.beta(4, 2).cdf).pvalue > 0.01
    assert stats.kstest(spans[:, 0] / (1000 - lengths), "uniform").pvalue > 0.01


def test_positives_overlap_adjoin_or_lie_within() -> None:
    anchor = AnchorSpan(20, 120, draw=3)
    anchors, first = drawn(anchor, TEXT, 2000), drawn(PositiveSpan(anchor), TEXT, 2000)
    second = drawn(PositiveSpan(anchor, 1), TEXT, 2000, before=3)
    lengths = first[:, 1] - first[:, 0]
    assert lengths.min() >= 20 and lengths.max() <= 120
    assert (first[:, 0] <= anchors[:, 1]).all() and (first[:, 1] >= anchors[:, 0]).all()
    within = ((first[:, 0] >= anchors[:, 0]) & (first[:, 1] <= anchors[:, 1])).mean()
    assert 0.1 < within < 0.6 and (first[:, 0] > anchors[:, 0]).mean() > 0.4
    assert (first != second).any(axis=1).mean() > 0.95
    assert (second[:, 0] <= anchors[:, 1]).all() and (second[:, 1] >= anchors[:, 0]).all(), "near the same anchor"
    inner = (anchors[:, 0] > 120) & (anchors[:, 1] < 880)  # the ends of the text change nothing there
    assert stats.kstest((lengths[inner] + 0.5 - 20) / 100, stats.beta(2, 4).cdf).pvalue > 0.01
    reach = anchors[:, 1] - anchors[:, 0] + lengths
    assert stats.kstest(((first[:, 0] - anchors[:, 0] + lengths) / reach)[inner], "uniform").pvalue > 0.01


def test_short_texts_are_taken_whole() -> None:
    for view in (AnchorSpan(20, 120), PositiveSpan(AnchorSpan(20, 120))):
        assert (drawn(view, TEXT[:7], 5) == [0, 7]).all()


def test_batches_of_a_corpus_repeat(tiny: Any, slices: Path, connect: Any) -> None:
    """Spans of a stream's batch lie in its own texts, at places that depend on the seed and position alone."""
    student, anchor = tiny("bert", architecture={"max_position_embeddings": 64}), AnchorSpan(4, 12)
    views = [anchor, PositiveSpan(anchor)]
    module = connect(CorpusDataModule(TextFiles(str(slices / "wikitext.txt")), batch_size=4), student, views)
    both, alone = module.stream("train"), module.stream("train")
    alone.views = views[1:]
    for position in (0, 9, 4):
        batch = both[position]
        spans, positives = (batch.views[view] for view in views)
        assert (spans.ids[:, 1:][spans.mask[:, 1:]] != 0).all() and len(spans.ids) == len(positives.ids) == 4
        assert np.array_equal(both[position].views[views[1]].ids, positives.ids)
    assert alone[0].views[views[1]].mask.sum() >= 4 * 3


@pytest.mark.parametrize(("shortest", "longest"), [(0, 5), (6, 5)])
def test_impossible_lengths(shortest: int, longest: int) -> None:
    with pytest.raises(UserError, match="give 1 <= shortest <= longest"):
        AnchorSpan(shortest, longest)
