"""MovieLens as streams: a text is a user's films in the order of time, a word each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from research.applications.recommendation.movielens import FILES, MovieLens, Split, read
from research.data.cache import key
from research.data.sources import Source
from research.data.sources.source import Record
from research.errors import UserError
from research.models.backbone import files_digest


class FilmSource(Source):
    """What the sources share.

    Args:
        folder: where MovieLens' CSV files lie.
        split: ``train``, ``validation`` or ``test``: which films stand next, or are rated.
        history: how many films before it are shown, the latest.
        latest: of the training split the last so many films of each user alone; the default is all.
    """

    def __init__(self, folder: str, split: Split = "train", history: int = 50, latest: int | None = None) -> None:
        if history < 1:
            raise UserError(f"history is {history}; it must be at least 1")
        if latest is not None and latest < 1:
            raise UserError(f"latest is {latest}; it must be at least 1")
        self.folder, self.split, self.history, self.latest = folder, split, history, latest

    def fingerprint(self) -> str:
        read(Path(self.folder))  # which says in one line what is missing
        digest = files_digest(Path(self.folder) / name for name in FILES)
        return key(type(self).__name__, 1, digest, self.split, self.history, self.latest)

    def films(self) -> MovieLens:
        return read(Path(self.folder))

    def places(self, count: int) -> range:
        """Where in a user's ``count`` films those stand that the split asks for; none has no film before it."""
        if self.split == "train":
            return range(max(1, count - 2 - (self.latest or count)), count - 2)
        place = count - (1 if self.split == "test" else 2)
        return range(place, place + 1)

    def examples(self) -> Iterator[tuple[int, int, str, str]]:
        """User, place among their films, the films before it as a text, and the film."""
        data = self.films()
        for user, seen in enumerate(data.seen):
            for place in self.places(len(seen)):
                yield user, place, _text(data, seen[max(0, place - self.history) : place]), data.names[seen[place]]


class Histories(FilmSource):
    """A record a user: all the films of theirs to learn from, for a corpus to cut into windows."""

    def __iter__(self) -> Iterator[Record]:
        data = self.films()
        for user, films in zip(data.users, data.training(), strict=True):
            if len(films):
                yield {"text": _text(data, films), "where": f"user {user}"}


class NextFilms(FilmSource):
    """A record a film that a user saw: the films before it, and as ``text_pair`` the film itself."""

    def __iter__(self) -> Iterator[Record]:
        users = self.films().users
        for user, place, past, film in self.examples():
            yield {"text": past, "text_pair": film, "where": f"user {users[user]} film {place + 1}"}


class RatedFilms(FilmSource):
    """As :class:`NextFilms`, with the label how many stars the rating lies above the user's mean until then."""

    def __iter__(self) -> Iterator[Record]:
        data = self.films()
        for user, place, past, film in self.examples():
            ratings = data.ratings[user]
            above = float(ratings[place] - ratings[:place].mean())
            where = f"user {data.users[user]} film {place + 1}"
            yield {"text": past, "text_pair": film, "label": above, "where": where}


def _text(data: MovieLens, films: np.ndarray) -> str:
    return " ".join(data.names[film] for film in films)
