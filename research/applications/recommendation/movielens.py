"""MovieLens in the order of time: each user's last film is tested on, and the one before it validates."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash

from research.errors import UserError

Split = Literal["train", "validation", "test"]
HELD_OUT: dict[Split, int] = {"test": 1, "validation": 2}  # how far from a user's end the film to find stands
FILES = ("movies.csv", "ratings.csv", "tags.csv")


@dataclass(frozen=True)
class MovieLens:
    """F films and U users; films are numbered from 0 in the order of ``movies.csv``.

    Args:
        names: movieId of each film.
        texts: title, genres and tags of each film.
        users: userId of each user.
        seen: for each user the films (n,) int64 that they rated, in the order of time; n is at least 3.
        ratings: for each user their stars (n,) float64, in the same order.
    """

    names: list[str]
    texts: list[str]
    users: list[str]
    seen: list[np.ndarray]
    ratings: list[np.ndarray]

    def training(self) -> list[np.ndarray]:
        """For each user the films to learn from."""
        return [films[: -max(HELD_OUT.values())] for films in self.seen]

    def past(self, split: Split) -> list[np.ndarray]:
        """For each user the films before the one to find."""
        return [films[: -HELD_OUT[split]] for films in self.seen]

    def target(self, split: Split) -> np.ndarray:
        """The film (U,) that each user saw next."""
        return np.array([films[-HELD_OUT[split]] for films in self.seen])

    def popularity(self) -> np.ndarray:
        """How many users (F,) each film has in training."""
        return np.bincount(np.concatenate(self.training()), minlength=len(self.names))


@lru_cache(maxsize=2)
def read(folder: Path) -> MovieLens:
    """The folder's ``movies.csv``, ``ratings.csv`` and ``tags.csv``.

    Ratings of one second come in an order that says nothing: a digest of user and film. A tag that a user gave a film
    which is held out for them is left out, since it would tell what is to be found.

    Raises:
        UserError: naming the file and line of what is missing or broken.
    """
    films: dict[str, list[str]] = {}
    for _, film, title, genres in _rows(folder / "movies.csv", {"movieId": str, "title": str, "genres": str}):
        films[film] = [title, "" if "no genres" in genres else genres.replace("|", ", ")]
    number = {name: i for i, name in enumerate(films)}

    rated = defaultdict[str, list[tuple[int, int, int, float]]](list)
    columns: Mapping[str, Callable[[str], Any]] = {"userId": str, "movieId": str, "rating": float, "timestamp": int}
    for where, user, film, rating, time in _rows(folder / "ratings.csv", columns):
        _known(where, film, number)
        rated[user].append((time, xxhash.xxh3_64_intdigest(f"{user} {film}".encode()), number[film], rating))
    for user, mine in rated.items():
        if len(mine) < 3:
            raise UserError(f"{folder / 'ratings.csv'}: user {user} has {len(mine)} ratings; a split by time needs 3")
        mine.sort()
    if not rated:
        raise UserError(f"{folder / 'ratings.csv'}: no rating; give MovieLens as it is published")

    hidden = {(user, film) for user, mine in rated.items() for _, _, film, _ in mine[-max(HELD_OUT.values()) :]}
    tags = defaultdict[int, dict[str, None]](dict)
    for where, user, film, tag in _rows(folder / "tags.csv", {"userId": str, "movieId": str, "tag": str}):
        _known(where, film, number)
        if (user, number[film]) not in hidden:
            tags[number[film]][tag.lower()] = None
    texts = [". ".join(filter(None, [*about, ", ".join(tags[number[film]])])) for film, about in films.items()]
    return MovieLens(
        names=list(films),
        texts=texts,
        users=list(rated),
        seen=[np.array([film for _, _, film, _ in mine]) for mine in rated.values()],
        ratings=[np.array([rating for *_, rating in mine]) for mine in rated.values()],
    )


def _rows(path: Path, columns: Mapping[str, Callable[[str], Any]]) -> Iterator[tuple[Any, ...]]:
    """The place of each row, ``path:line``, and the values of its columns."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            names = next(reader, [])
            for column in columns:
                if column not in names:
                    raise UserError(f"{path}:1: no column '{column}'; there is {', '.join(names) or 'none'}")
            places = [names.index(column) for column in columns]
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if len(row) != len(names):
                    raise UserError(f"{where}: {len(row)} columns, where the header has {len(names)}")
                yield (
                    where,
                    *(_value(where, name, columns[name], row[i]) for name, i in zip(columns, places, strict=True)),
                )
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give the folder of MovieLens' CSV files") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from None


def _value(where: str, column: str, kind: Callable[[str], Any], text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"{where}: {column} is '{text[:40]}', which is no number") from None


def _known(where: str, film: str, number: Mapping[str, int]) -> None:
    if film not in number:
        raise UserError(f"{where}: film {film} is not in movies.csv")
