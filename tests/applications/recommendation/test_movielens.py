"""The files are read as pandas reads them, the split follows time, and nothing held out is told."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from research.applications.recommendation.movielens import read
from research.applications.recommendation.sources import Histories, NextFilms, RatedFilms
from research.errors import UserError


@pytest.fixture(scope="module")
def table(films: Path) -> pd.DataFrame:
    return pd.read_csv(films / "ratings.csv", dtype={"movieId": str, "userId": str})


def test_each_user_ends_with_the_film_that_validates_and_the_one_that_tests(films: Path, table: pd.DataFrame) -> None:
    data = read(films)
    assert data.users == list(table.userId.unique())
    for user, past, validation, test in zip(
        data.users, data.past("validation"), data.target("validation"), data.target("test"), strict=True
    ):
        times = table[table.userId == user].set_index("movieId").timestamp
        order = [data.names[film] for film in [*past, validation, test]]
        assert sorted(order) == sorted(times.index)
        assert times[order].is_monotonic_increasing
    counts = table.sort_values("timestamp").groupby("userId").size() - 2
    assert data.popularity().sum() == counts.sum()


def test_films_are_told_by_title_genres_and_tags(films: Path) -> None:
    data = read(films)
    assert data.texts[0].startswith("Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy")
    tags = pd.read_csv(films / "tags.csv", dtype=str)
    rated = set(zip(*pd.read_csv(films / "ratings.csv", dtype=str)[["userId", "movieId"]].values.T, strict=True))
    free = [row for row in tags.itertuples() if (row.userId, row.movieId) not in rated]
    assert free and all(row.tag.lower() in data.texts[data.names.index(row.movieId)] for row in free)


def test_a_tag_on_a_film_that_is_held_out_for_its_user_is_not_told(films: Path, tmp_path: Path) -> None:
    shutil.copytree(films, tmp_path / "films")
    data = read(films)
    pairs = [(data.users[0], data.names[data.seen[0][place]]) for place in (-1, -2, -3)]
    with (tmp_path / "films" / "tags.csv").open("a") as file:
        file.writelines(f"{user},{film},told{i},1\n" for i, (user, film) in enumerate(pairs))
    texts = " ".join(read(tmp_path / "films").texts)
    assert "told2" in texts and "told0" not in texts and "told1" not in texts


@pytest.mark.parametrize("source", [NextFilms, RatedFilms])
def test_no_training_record_holds_what_is_held_out(films: Path, table: pd.DataFrame, source: type) -> None:
    data = read(films)
    last = {user: [data.names[film] for film in seen[-2:]] for user, seen in zip(data.users, data.seen, strict=True)}
    records = list(source(str(films)))
    assert len(records) == len(table) - 3 * len(last)  # the first film of each has nothing before it
    for record in [*records, *Histories(str(films))]:
        user = record["where"].split()[1]
        told = [*record["text"].split(), record.get("text_pair")]
        assert not set(told) & set(last[user])
    held = {record["where"].split()[1]: record for record in source(str(films), split="test", history=3)}
    for user, (before, target) in last.items():
        assert held[user]["text_pair"] == target and held[user]["text"].split()[-1] == before
        assert len(held[user]["text"].split()) <= 3


def test_a_rating_is_told_as_stars_above_the_mean_before_it(films: Path, table: pd.DataFrame) -> None:
    data, stars = read(films), table.set_index(["userId", "movieId"]).rating
    for record in list(RatedFilms(str(films), history=1000))[::50]:
        user = record["where"].split()[1]
        before = np.mean([stars[user, film] for film in record["text"].split()])
        assert record["label"] == pytest.approx(stars[user, record["text_pair"]] - before)
    assert data.users


BROKEN = {
    "no file": ("ratings.csv", None, None, "cannot be read (No such file or directory); give the folder of MovieLens'"),
    "no column": ("ratings.csv", "timestamp", "date", "ratings.csv:1: no column 'timestamp'; there is userId, movieId"),
    "no number": ("ratings.csv", "835355493", "soon", "ratings.csv:2: timestamp is 'soon', which is no number"),
    "a column less": ("movies.csv", "\n1,", "\n", "movies.csv:2: 2 columns, where the header has 3"),
    "no such film": ("ratings.csv", "2,10,4.0", "2,99999999,4.0", "ratings.csv:2: film 99999999 is not in movies.csv"),
    "not text": ("movies.csv", "Toy Story", "\udcff", "movies.csv: not UTF-8"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_told_in_one_line(films: Path, tmp_path: Path, case: str) -> None:
    name, old, new, told = BROKEN[case]
    shutil.copytree(films, tmp_path / "films")
    path = tmp_path / "films" / name
    if old is None or new is None:
        path.unlink()
    else:
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError) as error:
        read(tmp_path / "films")
    assert told in str(error.value) and "\n" not in str(error.value)
