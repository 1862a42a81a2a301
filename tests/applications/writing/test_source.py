"""Pairs and sentences from E2E's files."""

import csv
from pathlib import Path

import pytest

from research.applications.writing.source import Places
from research.data.sources.source import identity
from research.errors import UserError


@pytest.fixture
def rows(slices: Path) -> list[dict[str, str]]:
    with (slices / "e2e.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_pairs_hide_the_names(slices: Path, rows: list[dict[str, str]]) -> None:
    records = list(Places(str(slices / "e2e.csv")))
    assert [record["where"] for record in records] == [f"{slices / 'e2e.csv'}:{i + 2}" for i in range(len(rows))]
    assert all("NAME" in record["text"] for record in records)
    names = {row["mr"].split("name[")[1].split("]")[0] for row in rows}
    assert not any(name in record["target"] for name in names for record in records)
    assert sum("NAME" in record["target"] for record in records) > 0.9 * len(records)


def test_shares_part_the_facts_and_their_sentences_alike(slices: Path) -> None:
    parts = [(0.0, 0.4), (0.4, 1.0)]
    pairs = [list(Places(str(slices / "e2e.csv"), shares=shares)) for shares in parts]
    texts = [list(Places(str(slices / "e2e.csv"), sentences=True, shares=shares)) for shares in parts]
    assert all(pairs) and sum(map(len, pairs)) == 40
    assert not {record["text"] for record in pairs[0]} & {record["text"] for record in pairs[1]}
    for mine, theirs in zip(pairs, texts, strict=True):
        assert [record["where"] for record in mine] == [record["where"] for record in theirs]
        assert [identity(record) for record in mine] == [identity(record) for record in theirs], "held out together"
        assert not any("target" in record for record in theirs)


def test_bad_facts_are_named_with_their_line_and_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text("mr,ref\nname[A],A it is.\nname(B),B it is.\nname[C],C it is.\n")
    with pytest.raises(UserError, match=r"facts.csv:3: no facts: expected slot\[value\]"):
        list(Places(str(path)))
    assert [record["where"][-1] for record in Places(str(path), max_bad=1)] == ["2", "4"]
    with pytest.raises(UserError, match="shares is"):
        Places(str(path), shares=(0.5, 0.5))
