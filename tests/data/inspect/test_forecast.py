"""The mixture over time is what the loader's sampler reads."""

from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from research.data import Joint, Sampled
from research.data.inspect.forecast import WINDOWS, forecast, shares
from research.data.inspect.plots import draw_lengths, draw_mixture
from research.data.sampling import HOLE, Sampling, Turns

ASKED = {"wiki": 3.0, "intents": 1.0}


@pytest.mark.parametrize("sampling", [Joint(), Sampled(ASKED)], ids=["joint", "sampled"])
def test_the_sampler_reads_what_was_foreseen(sampling: Sampling) -> None:
    sampling.connect(list(ASKED), 5)
    data: Any = SimpleNamespace(mixture=sampling, streams=ASKED)
    gives = forecast(data, 5000)
    for name, given in gives.items():
        read = islice(Turns(sampling, name, 5000, lambda: 0), 5000)
        assert given.tolist() == [position != HOLE for position in read]
    if isinstance(sampling, Sampled):
        assert np.all(gives["wiki"] ^ gives["intents"])
        assert gives["wiki"].mean() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("steps", [1, 7, WINDOWS, 1000])
def test_windows_hold_every_step(steps: int) -> None:
    given = np.random.default_rng(0).random(steps) < 0.3
    middles, share = shares(given)
    assert len(middles) == min(steps, WINDOWS) and np.all(np.diff(middles) > 0)
    borders = np.linspace(0, steps, len(middles) + 1).round().astype(int)
    assert share == pytest.approx([given[a:b].mean() for a, b in pairwise(borders)])


def test_pictures(tmp_path: Path) -> None:
    draw_mixture({"reviews": np.ones(5, bool), "wiki": np.zeros(5, bool)}, tmp_path / "mixture.png")
    lengths: Any = {"wiki": SimpleNamespace(lengths=np.array([0, 1, 5, 9]))}
    draw_lengths(lengths, tmp_path / "lengths.png")
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
