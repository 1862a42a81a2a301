"""The nearest known texts, against a search by hand."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from research.data.stream import StreamInfo
from research.errors import UserError
from research.inference import Model
from research.inference.neighbours import Neighbours
from research.models import Student


@pytest.fixture
def model(tiny: Callable[..., Student]) -> Model:
    return Model(tiny("bert"), {})


@pytest.fixture
def known(slices: Path) -> list[dict[str, str]]:
    with (slices / "banking77" / "train.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def near(model: Model, slices: Path, tmp_path: Path) -> Callable[..., Neighbours]:
    (tmp_path / "a.ckpt").write_bytes(b"a")

    def near(path: Path = slices / "banking77" / "train.csv", label: str = "category", of: Model = model) -> Neighbours:
        return Neighbours(of, str(tmp_path / "a.ckpt"), str(path), "text", label)

    return near


def test_they_are_the_nearest_by_cosine(
    model: Model, known: list[dict[str, str]], near: Callable[..., Neighbours]
) -> None:
    asked = model.embed(["where is my new card"])
    expected = cosine_similarity(asked, model.embed([row["text"] for row in known]))[0]
    found = near().nearest(asked[0], 4)
    order = np.argsort(-expected)[:4]
    assert [one["text"] for one in found] == [known[i]["text"] for i in order]
    assert [one["label"] for one in found] == [known[i]["category"] for i in order]
    assert [one["similarity"] for one in found] == pytest.approx(expected[order], abs=1e-5)


def test_texts_are_embedded_once(
    model: Model, near: Callable[..., Neighbours], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = near()
    monkeypatch.setattr(Model, "embed", lambda *_: pytest.fail("embedded again"))
    np.testing.assert_array_equal(near().unit, first.unit)


def test_what_is_no_file_of_known_texts(
    near: Callable[..., Neighbours], tiny: Callable[..., Student], tmp_path: Path
) -> None:
    (tmp_path / "none.csv").write_text("text,category\n")
    with pytest.raises(UserError, match=r"none\.csv: no records in this file"):
        near(tmp_path / "none.csv")
    with pytest.raises(UserError, match="no column 'intent'"):
        near(label="intent")
    (tmp_path / "some.txt").write_text("text\n")
    with pytest.raises(UserError, match=r"--neighbours .*some\.txt: a \.txt file has a text a line, and no labels"):
        near(tmp_path / "some.txt")
    student = tiny("bert")
    student.add_head("s", 2)
    other = Model(student.double().eval(), {"s": StreamInfo("classify", ("yes", "no"))})
    with pytest.raises(UserError, match=r"train\.csv:2: no task of .* has the label 'activate_my_card'"):
        near(of=other)
