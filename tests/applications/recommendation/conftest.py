"""A small cut of the real MovieLens."""

import csv
from pathlib import Path

import pytest

FILMS, USERS, RATINGS = 300, 40, 30


@pytest.fixture(scope="session")
def films(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of 40 users who have rated five or more of the first 300 films, with at most 30 ratings each."""
    folder = tmp_path_factory.mktemp("films")
    movies = _read(shared / "movielens" / "movies.csv")[: FILMS + 1]
    known = {row[0] for row in movies}
    header, *ratings = _read(shared / "movielens" / "ratings.csv")
    mine: dict[str, list[list[str]]] = {}
    for row in ratings:
        if row[1] in known:
            mine.setdefault(row[0], []).append(row)
    users = [rows[:RATINGS] for rows in mine.values() if len(rows) >= 5][:USERS]
    tags = [row for row in _read(shared / "movielens" / "tags.csv") if row[1] in known | {"movieId"}]
    for name, cut in (
        ("movies.csv", movies),
        ("ratings.csv", [header, *(row for rows in users for row in rows)]),
        ("tags.csv", tags),
    ):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(cut)
    return folder


def _read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
