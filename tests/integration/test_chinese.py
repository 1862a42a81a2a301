"""Chinese reviews through every command, from the published file to predictions."""

import csv
import json
import os
from pathlib import Path

import pytest
import yaml

from research.run import CHOSEN
from research.terminal import run_command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe over 300 reviews with a smaller student; its file is written as Chinese files often are."""
    folder = tmp_path_factory.mktemp("chinese")
    with (shared / "waimai" / "waimai_10k.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with (folder / "reviews.csv").open("w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows(rows[:1] + rows[1:12000:40])
    settings = yaml.safe_load((ROOT / "configs/waimai.yaml").read_text())
    source = {"paths": str(folder / "reviews.csv"), "text": "review", "label": "label", "encoding": "gb18030"}
    settings["model"]["student"]["architecture"] |= {"hidden_size": 32, "num_hidden_layers": 1}
    settings["model"]["student"]["tokenizer"]["source"]["init_args"] = source
    for stream in settings["data"]["streams"].values():
        stream["init_args"]["source"]["init_args"] = source
    settings["trainer"] = {"max_steps": 12, "enable_progress_bar": False, "accelerator": "cpu"}
    settings["run"] |= {"folder": str(folder / "runs"), "wandb": "disabled"}
    path = folder / "waimai.yaml"
    path.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    return path


def run(command: list[str], config: Path, *more: str) -> int:
    os.environ.pop(CHOSEN, None)
    return run_command([*command, "--config", str(config), *more])


def test_fit_test_predict(config: Path) -> None:
    assert run(["fit"], config) == 0
    assert run(["test"], config, "--ckpt_path", "last") == 0
    assert run(["predict"], config, "--ckpt_path", "last") == 0
    folder = config.parent / "runs" / "waimai"
    with (folder / "metrics.csv").open(newline="") as file:
        steps = [row for row in csv.DictReader(file) if row["loss/mlm"]]
    losses = [float(row["loss/mlm"]) for row in steps]
    assert len(losses) == 12 and losses[-1] < losses[0]
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    predictions = [json.loads(line) for line in lines]
    reviews = (config.parent / "reviews.csv").read_text(encoding="gb18030").splitlines()
    labelled = [(p, reviews[int(p["where"].rsplit(":", 1)[1]) - 1][0]) for p in predictions if "label" in p]
    right = sum(p["label"] == label for p, label in labelled)
    figures = json.loads((folder / "test.json").read_text())
    assert labelled and figures["test/ce/accuracy"] == pytest.approx(right / len(labelled))


def test_inspect(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "inspect"], config) == 0
    printed = capsys.readouterr().out
    text = (config.parent / "reviews.csv").read_text(encoding="gb18030")
    masked = [line for line in printed.splitlines() if "→" in line]
    assert len(masked) >= 10, "five batches, two rows of each"
    reviews = [line.partition(",")[2].strip('"') for line in text.splitlines()[1:]]
    clean = next(line for line in printed.split("Batches of reviews")[1].splitlines() if line.startswith("      [CLS]"))
    beginning = clean.strip().removeprefix("[CLS]").removesuffix("[SEP]").strip("… ")[:8]
    assert any(beginning in review.lower() for review in reviews), "shown as it was written, without spaces"
    assert "unknown to the tokenizer" not in printed
