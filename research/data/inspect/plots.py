"""``lengths.png`` and ``mixture.png``."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from research.data.inspect.figures import Figures
from research.data.inspect.forecast import shares
from research.evaluation.plot import MARKS, canvas, plain, save


def draw_lengths(figures: Mapping[str, Figures], out: Path) -> None:
    """The share of each stream's training texts that have at most so many tokens."""
    figure, axes = canvas()
    for i, (name, each) in enumerate(figures.items()):
        ordered = np.sort(np.maximum(each.lengths, 1))
        axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), MARKS[i % 4], where="post", label=plain(name))
    axes.set(
        xscale="log", ylim=(0, 1.02), xlabel="length of a text (tokens)", ylabel="share of the texts up to this length"
    )
    save(figure, axes, out)


def draw_mixture(gives: Mapping[str, np.ndarray], out: Path) -> None:
    """The share of the steps in which each stream gives a batch, over the run."""
    figure, axes = canvas()
    for i, (name, given) in enumerate(gives.items()):
        axes.plot(*shares(given), MARKS[i % 4], label=plain(name))
    axes.set(ylim=(0, 1.02), xlabel="training step", ylabel="share of the steps with a batch")
    save(figure, axes, out)
