"""The script and the config of docs/comparison.md train on the same texts."""

import csv
import re
from pathlib import Path

import pytest
from transformers import BertConfig, BertForMaskedLM

from research.data.sources import TextFiles
from research.models import TrainedTokenizer
from research.terminal import run_command

ROOT = Path(__file__).parents[2]


def test_script_and_config_both_learn(slices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "comparison.md").read_text()
    (script,), (config,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("python", "yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYBRID_RUN_FOLDER", raising=False)
    tokenizer = TrainedTokenizer(TextFiles(str(slices / "wikitext.txt")), vocab_size=600).load()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained("MODEL")
    tokenizer.save_pretrained("MODEL")
    with (slices / "banking77" / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with open("tickets.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "queue"])
        writer.writerows([row["text"], row["category"]] for row in rows)

    script = (
        script.replace("max_steps=5", "max_steps=30")
        .replace("warmup_steps=1", "warmup_steps=6")
        .replace("1e-4", "3e-3")
    )
    config = config.replace("max_steps: 5", "max_steps: 30, accelerator: cpu, enable_progress_bar: false").replace(
        "1.0e-4", "3.0e-3"
    )
    theirs: dict[str, object] = {}
    exec(compile(script, "script", "exec"), theirs)
    their_loss = theirs["result"].training_loss  # type: ignore[attr-defined]
    Path("exp.yaml").write_text(config + "run: {wandb: disabled}\n")
    assert run_command(["fit", "--config", "exp.yaml"]) == 0
    with Path("runs/exp/metrics.csv").open(newline="") as file:
        ours = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert len(ours) == 30
    assert sum(ours) / len(ours) == pytest.approx(their_loss, rel=0.15)
    assert ours[-1] < ours[0]
