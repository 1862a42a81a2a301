"""The published formats of labelled data read by YAML alone, with the counts their publishers give."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from jsonargparse import ArgumentParser

from research.data.sources import Source

# What a user writes below `source:`, and for each file how many records and which first one it holds.
FORMATS: dict[str, tuple[str, dict[str, int], dict[str, Any]]] = {
    "sst2": (
        "{class_path: CSV, init_args: {text: 0, label: 1, delimiter: '\\t', header: false, quoting: false}}",
        {"train.tsv": 6920, "dev.tsv": 872, "test.tsv": 1821},  # one more than lines end in each
        {"label": "1"},
    ),
    "trec": (
        "{class_path: LabelledLines, init_args: {encoding: latin-1}}",
        {"train.all": 5452, "test.all": 500},
        {"text": "How did serfdom develop in and then leave Russia ?", "label": "0"},
    ),
    "banking77": (
        "{class_path: CSV, init_args: {text: text, label: category}}",
        {"train.csv": 10_003, "test.csv": 3_080},  # of 10,016 and 3,084 lines: a few questions run over two
        {"text": "I am still waiting on my card?", "label": "card_arrival"},
    ),
    "stsb": (  # quotes are ordinary characters, and some rows name their origin in two more columns
        "{class_path: CSV, "
        "init_args: {text: 5, text_pair: 6, label: 4, delimiter: '\\t', header: false, quoting: false}}",
        {"sts-train.csv": 5749, "sts-dev.csv": 1500, "sts-test.csv": 1379},
        {"text": "A plane is taking off.", "text_pair": "An air plane is taking off.", "label": "5.000"},
    ),
    "e2e": (
        "{class_path: CSV, init_args: {text: mr, target: ref}}",
        {"devset.csv": 4672, "testset_w_refs.csv": 4693},
        {"text": "name[Alimentum], area[city centre], familyFriendly[no]"},
    ),
    "waimai": (
        "{class_path: CSV, init_args: {text: review, label: label}}",
        {"waimai_10k.csv": 11_987},
        {"text": "很快，好吃，味道足，量大", "label": "1"},
    ),
    "movielens": (  # the genres of a film by its title; a rating needs the titles joined to ratings.csv first
        "{class_path: CSV, init_args: {text: title, label: genres}}",
        {"movies.csv": 9125},
        {"text": "Toy Story (1995)", "label": "Adventure|Animation|Children|Comedy|Fantasy"},
    ),
}


def source(settings: str, path: Path) -> Source:
    parser = ArgumentParser()
    parser.add_argument("--source", type=Source)
    given = yaml.safe_load(settings)
    given["class_path"] = f"research.data.sources.{given['class_path']}"
    given["init_args"]["paths"] = str(path)
    return parser.instantiate(parser.parse_object({"source": given})).source


@pytest.mark.parametrize("name", FORMATS)
def test_settings_alone_read_the_format(shared: Path, name: str) -> None:
    settings, files, first = FORMATS[name]
    for number, (file, count) in enumerate(files.items()):
        records = list(source(settings, shared / name / file))
        assert len(records) == count
        assert number or first.items() <= records[0].items()


def test_ratings_by_title_and_genres_need_one_join_before(shared: Path, tmp_path: Path) -> None:
    """What `pandas` joins in a line is then a pair with a number, for problem 'regress'."""
    movies, ratings = (pd.read_csv(shared / "movielens" / f"{name}.csv") for name in ("movies", "ratings"))
    path = tmp_path / "rated.parquet"
    ratings.merge(movies, on="movieId", validate="many_to_one").to_parquet(path)
    settings = "{class_path: Parquet, init_args: {text: title, text_pair: genres, label: rating}}"
    records = list(source(settings, path))
    assert len(records) == len(ratings) == 100_004
    first = {"text": "Dangerous Minds (1995)", "text_pair": "Drama", "label": 2.5}
    assert records[0] == {**first, "where": f"{path}:1"}
