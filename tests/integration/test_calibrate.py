"""``calibrate`` and what ``predict`` makes of it, as a user runs them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from research.inference import load
from research.terminal import run_command


@pytest.fixture(scope="module")
def run(program: Any) -> Path:
    share = "--data.streams.intents.init_args.validation"
    assert program("fit", "calibrated", "--trainer.max_steps", "60", share, "0.4") == 0
    return program.run_folder("calibrated")


@pytest.fixture(scope="module")
def texts(slices: Path) -> list[str]:
    with (slices / "banking77" / "test.csv").open(newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


@pytest.fixture(autouse=True)
def undecided(run: Path) -> Any:
    yield
    for path in run.glob("decisions.*"):
        path.unlink()


def calibrate(run: Path, *more: str) -> int:
    return run_command(["calibrate", "--ckpt", str(run), *more])


def validated(run: Path, slices: Path) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the validation texts and their labels, by the places that the data module itself names."""
    from research.inference.decisions.scored import data_of

    model = load(run, decisions=False)
    data = data_of(run / "checkpoints" / "last.ckpt", model, "intents")
    with (slices / "banking77" / "train.csv").open(newline="") as file:
        rows = {row["text"]: row["category"] for row in csv.DictReader(file)}
    by_place = {record["where"]: record["text"] for record in data.source}
    texts = [by_place[data.where("validation", i)] for i in range(len(data.rows["validation"][1]))]
    labels = model.streams["intents"].labels
    return model.logits(texts, "intents"), np.array([labels.index(rows[text]) for text in texts])


def test_answers_are_calibrated_by_the_validation_split(
    run: Path, slices: Path, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = load(run).logits(texts, "intents")
    assert calibrate(run) == 0
    assert "Written to" in capsys.readouterr().out and (run / "decisions.png").stat().st_size > 1000
    logits, labels = (torch.from_numpy(x) for x in validated(run, slices))

    def loss(t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / t, labels))

    best = minimize_scalar(loss, bounds=(0.02, 20), method="bounded").x
    answers = list(load(run).predict(texts, "intents"))
    expected = torch.from_numpy(plain / best).softmax(-1).numpy()
    np.testing.assert_allclose([list(a["probabilities"].values()) for a in answers], expected, atol=5e-3)
    raw = list(load(run, decisions=False).predict(texts, "intents"))
    assert [a["label"] for a in answers] == [a["label"] for a in raw] and set(raw[0]) == {"label", "probabilities"}
    told = json.loads((run / "decisions.json").read_text())["tasks"]["intents"]["made"]
    assert told["command"].startswith("python -m research.cli calibrate --ckpt")
    assert told["figures"]["examples"] == len(labels)
    report = (run / "decisions.md").read_text()
    assert "| calibration_error |" in report and "| 0.5 |" in report


def test_the_command_line_answers_by_them(
    run: Path, texts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outside.txt").write_text("the river was old\na valley of stone\nthe war began in spring")
    (tmp_path / "in.txt").write_text("\n".join(texts[:6]))
    labels = load(run).streams["intents"].labels
    (tmp_path / "names.json").write_text(json.dumps({label: label.upper() for label in labels}))
    scope = ["--out-of-scope", "max_probability", "energy", "mahalanobis", "--outside", str(tmp_path / "outside.txt")]
    (tmp_path / "cost.json").write_text('{"abstain": 0.95}')
    names, cost = ["--names", str(tmp_path / "names.json")], ["--cost", str(tmp_path / "cost.json")]
    assert calibrate(run, *scope, *names, *cost) == 0
    shown = capsys.readouterr().out
    assert all(f"| {name} | 0." in shown or f"| {name} | 1." in shown for name in scope[1:4])
    asked = ["predict", "--ckpt", str(run), "--input", str(tmp_path / "in.txt")]
    assert run_command(asked) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        assert line.get("name") == (line["label"].upper() if line["label"] else None)
        assert line["label"] is not None or line["reason"] in ("out of scope", "not sure enough")
        assert isinstance(line["in_scope"], bool) and np.isfinite(line["scope_score"])
    assert run_command([*asked, "--no-decisions"]) == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[0])) == {"where", "label", "probabilities"}
    kept = run / "checkpoints" / "last.ckpt"
    moved = tmp_path / "checkpoints" / "last.ckpt"
    moved.parent.mkdir()
    content = torch.load(kept, weights_only=True)
    content["epoch"] += 1
    torch.save(content, moved)
    (tmp_path / "decisions.json").write_bytes((run / "decisions.json").read_bytes())
    assert run_command(["predict", "--ckpt", str(tmp_path), "--input", str(tmp_path / "in.txt")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "decisions.json: fitted to another checkpoint" in line and "--no-decisions" in line


def test_bad_input_is_one_line_and_leaves_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*more: str) -> str:
        assert calibrate(run, *more) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert not list(run.glob("decisions.*"))
        return line

    bad = tmp_path / "bad.json"
    bad.write_text('{"card": "Card"}')
    assert f"--names {bad}: labels card are not of the checkpoint, which has " in told("--names", str(bad))
    assert f"--cost {bad}: no key card" in told("--cost", str(bad))
    bad.write_text('{"wrong": 1,\n')
    assert f"--cost {bad}:2: not JSON" in told("--cost", str(bad))
    assert "No such file" in told("--cost", str(tmp_path / "none"))
    assert "several detectors need --outside" in told("--out-of-scope", "energy", "mahalanobis")
    assert "name a detector" in told("--outside", str(bad))
    assert "--risk is 2.0; it must lie in (0, 1)" in told("--risk", "2")
    assert "no none of problem classify; there is intents" in told("--task", "none")


def test_a_run_without_a_validation_split(program: Any, capsys: pytest.CaptureFixture[str]) -> None:
    share = "--data.streams.intents.init_args.validation"
    assert program("fit", "unvalidated", "--trainer.max_steps", "2", share, "0") == 0
    capsys.readouterr()
    assert calibrate(program.run_folder("unvalidated")) == 2
    assert "init_args.validation: the run has set no texts apart" in capsys.readouterr().err
