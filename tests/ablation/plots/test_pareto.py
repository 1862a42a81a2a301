"""The front is what no other point beats."""

import numpy as np

from research.ablation.reporting.plots.pareto import front


def test_front_against_every_pair() -> None:
    points = dict(enumerate(map(tuple, np.random.default_rng(0).integers(0, 12, (60, 2)).tolist())))

    def beaten(i: int) -> bool:
        (cost, quality) = points[i]
        return any(c <= cost and q >= quality and (c, q) != (cost, quality) for c, q in points.values())

    chosen = front(points)
    assert {points[i] for i in chosen} == {points[i] for i in points if not beaten(i)}
    assert [points[i][0] for i in chosen] == sorted(points[i][0] for i in chosen)
    assert len(chosen) == len({points[i] for i in chosen}), "equal points are drawn once"
