"""HubDataset through load_dataset, on folders of this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from research.data.sources import HubDataset
from research.errors import UserError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def intents(slices: Path, tmp_path: Path) -> Path:
    """A piece of BANKING77 as a Parquet folder whose labels are numbers of named classes."""
    for split in "train", "test":
        frame = pd.read_csv(slices / "banking77" / f"{split}.csv")
        rows = datasets.Dataset.from_pandas(frame).class_encode_column("category")
        (tmp_path / "intents").mkdir(exist_ok=True)
        rows.to_parquet(tmp_path / "intents" / f"{split}.parquet")
    return tmp_path / "intents"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_numbers_of_classes_become_names(slices: Path, intents: Path, split: str, streaming: bool) -> None:
    source = HubDataset(str(intents), split=split, label="category", streaming=streaming)
    frame = pd.read_csv(slices / "banking77" / f"{split}.csv")
    records = list(source)
    assert [(record["text"], record["label"]) for record in records] == list(
        zip(frame.text, frame.category, strict=True)
    )
    assert records[7]["where"] == f"{intents}:{split}:7"


def test_fingerprint_follows_content_and_settings(intents: Path) -> None:
    def fingerprint(**settings: str) -> str:
        return HubDataset(str(intents), **settings).fingerprint()

    first = fingerprint(label="category")
    assert fingerprint(label="category") == first
    assert len({first, fingerprint(), fingerprint(label="category", split="test")}) == 3
    frame = pd.read_parquet(intents / "train.parquet").iloc[::-1]
    frame.to_parquet(intents / "train.parquet")
    os.utime(intents / "train.parquet", (1, 1))
    assert fingerprint(label="category") != first


def test_json_folder_with_nested_columns(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"pair": {"a": "x", "b": "y"}, "tags": ["p", "q"], "score": 2.5}\n')
    (record,) = HubDataset(str(folder), text="pair.a", text_pair="pair.b", label="tags")
    assert record == {"text": "x", "text_pair": "y", "label": ["p", "q"], "where": f"{folder}:train:0"}
    (record,) = HubDataset(str(folder), text="pair.a", label="score")
    assert record["label"] == 2.5
    with pytest.raises(UserError, match=r":train:0: no column 'text'; there is pair, tags, score"):
        list(HubDataset(str(folder)))


def test_lists_of_classes_and_rows_without_label(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["p", "q"])
    features = datasets.Features({"text": datasets.Value("string"), "many": datasets.List(names), "one": names})
    rows = datasets.Dataset.from_dict({"text": ["a"], "many": [[1, 0]], "one": [-1]}, features=features)
    (tmp_path / "many").mkdir()
    rows.to_parquet(tmp_path / "many" / "train.parquet")
    (record,) = HubDataset(str(tmp_path / "many"), label="many")
    assert record["label"] == ["q", "p"]
    with pytest.raises(UserError, match=r":train:0: label is -1, so this split has no labels"):
        list(HubDataset(str(tmp_path / "many"), label="one"))


def test_unknown_split(intents: Path) -> None:
    with pytest.raises(UserError, match=r"intents cannot be loaded: .*validation.*check name, config, split"):
        list(HubDataset(str(intents), split="validation"))


def test_unknown_name_without_network(tmp_path: Path) -> None:
    program = (
        "from research.data.sources import HubDataset\n"
        "from research.errors import UserError\n"
        "try: list(HubDataset('nobody/no-such-data'))\n"
        "except UserError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("data set nobody/no-such-data cannot be loaded: ")
    assert run.stdout.count("\n") == 1 and "download it elsewhere" in run.stdout
