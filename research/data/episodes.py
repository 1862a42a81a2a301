"""Few-shot episodes as batches of a task (Vinyals et al. 2016, arXiv:1606.04080)."""

from dataclasses import dataclass

import numpy as np

from research.data.stream import Stream
from research.errors import UserError


@dataclass(frozen=True)
class Episodes:
    """Each training batch is an episode: ``shots`` examples of each of ``ways`` classes, then ``queries`` more of each.

    Classes and examples are drawn anew for each batch, without repetition inside it.

    Args:
        ways: classes of an episode, at least 2.
        shots: support examples a class, at least 1, which come first.
        queries: further examples a class, at least 1.
    """

    ways: int
    shots: int
    queries: int

    def __post_init__(self) -> None:
        for name, least in (("ways", 2), ("shots", 1), ("queries", 1)):
            if (value := getattr(self, name)) < least:
                raise UserError(f"data.streams: {name} is {value}; it must be at least {least}")


class Episodic(Stream):
    """A task's stream whose batches are episodes; a pass has as many as show each example once in the mean.

    Args:
        stream: the same without them.
        episodes: how they are made.
        members: for each class its examples, ``shots + queries`` at least.
    """

    def __init__(self, stream: Stream, episodes: Episodes, members: list[np.ndarray]) -> None:
        self.__setstate__(stream.__getstate__())
        self.episodes, self.members = episodes, members
        self.batch_size = episodes.ways * (episodes.shots + episodes.queries)

    def _ordered(self, which: int) -> list[list[np.ndarray]]:
        rng = np.random.default_rng([*self.seed, 0xE915, which])
        return [list(self._episode(rng)[:, None]) for _ in range(len(self))]

    def _episode(self, rng: np.random.Generator) -> np.ndarray:
        """Its examples: the support of all classes, then the queries."""
        few = self.episodes
        classes = rng.choice(len(self.members), few.ways, replace=False)
        drawn = [rng.choice(self.members[c], few.shots + few.queries, replace=False) for c in classes]
        return np.concatenate([d[: few.shots] for d in drawn] + [d[few.shots :] for d in drawn])
