"""The remedies and measures of bias in a run of the real program."""

import json
from pathlib import Path
from typing import Any

import pytest

from research.inference import load

pytest.importorskip("fairlearn", reason="the extra fairness is not installed")
PAIRS = [["my", "your"], ["card", "account"]]


def callback(name: str, **given: Any) -> list[str]:
    return ["--trainer.callbacks+", json.dumps({"class_path": f"research.callbacks.{name}", "init_args": given})]


def test_a_run_with_all_of_it(program: Any, slices: Path, tmp_path: Path) -> None:
    lines = ["more,less,kind", "the old man was here,the old woman was here,gender", "a river,a valley,place"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    pairs = {"paths": str(tmp_path / "pairs.csv"), "text": "more", "text_pair": "less", "label": "kind"}
    texts = {"paths": str(slices / "banking77" / "test.csv"), "text": "text", "label": "category"}
    csv = "research.data.sources.CSV"
    labelled = {"class_path": csv, "init_args": texts}
    same = {"class_path": "research.objectives.CounterfactualConsistency",
            "init_args": {"stream": "intents", "pairs": PAIRS}}  # fmt: skip
    more = ["--model.objectives.same", json.dumps(same), "--trainer.max_steps", "6"]
    more += callback("CrowsPairs", source={"class_path": csv, "init_args": pairs})
    more += callback("GroupGaps", task="intents", source=labelled, pairs=PAIRS)
    more += callback("LayerSimilarity", source=labelled, count=20)
    more += callback("GroupProjection", task="intents", source=labelled, directions=32, pairs=PAIRS)
    assert program("fit", "biased", *more) == 0
    assert any(float(row["loss/same"]) > 0 for row in program.log("biased"))
    weight = load(program.run_folder("biased")).student.heads["intents"].linear.weight
    assert weight.abs().max() < 1e-4, "of all 32 directions nothing is left"
    assert program("test", "biased", *more, "--ckpt_path", "last") == 0
    figures = json.loads((program.run_folder("biased") / "test.json").read_text())
    assert figures["test/gaps/shift"] < 1e-4 and figures["test/gaps/equalised_odds"] == 0
    assert figures["test/crows_pairs/gender"] in (0, 1) and figures["test/crows_pairs/all/low"] <= 0.5
    assert all(0 < figures[f"test/cka/{depth}"] < 1 + 1e-6 for depth in range(3)) and figures["test/cka/2"] < 1
