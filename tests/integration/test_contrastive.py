"""Triplets of a file of labelled pairs train a student, by YAML alone."""

import csv
import json

import yaml

from research.terminal import run_command

CONTRASTIVE = {
    "class_path": "research.objectives.Contrastive",
    "init_args": {
        "stream": "nli",
        "mlp": True,
        **{
            name: {"class_path": "research.data.one_text.OneText", "init_args": {"field": field}}
            for name, field in (("view", "text"), ("other_view", "text_pair"), ("hard_negative", "target"))
        },
    },
}


def test_triplets_of_labelled_pairs(program):
    lines = [
        {"premise": f"sentence {i} says a thing", "hypothesis": f"{word} {i}", "gold": label}
        for i in range(30)
        for word, label in (("it says", "entailment"), ("it may say", "neutral"), ("it never says", "contradiction"))
    ]
    pairs = program.folder / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = {
        "class_path": "research.data.sources.JSONLines",
        "init_args": {"paths": str(pairs), "text": "premise", "text_pair": "hypothesis", "label": "gold"},
    }
    triplets = {"class_path": "research.data.sources.Triplets", "init_args": {"source": source}}
    config = yaml.safe_load((program.folder / "tiny.yaml").read_text())
    config["model"]["student"] |= {"pooling": "first", "chunk": 8}
    config["model"] |= {"objectives": {"simcse": CONTRASTIVE}, "weighting": None}
    task = {"source": triplets, "problem": "pair", "batch_size": 4, "validation": 0.3}
    config["data"] = {"streams": {"nli": {"class_path": "research.data.TaskDataModule", "init_args": task}}}
    config["trainer"] |= {"max_steps": 6, "val_check_interval": 3}
    (program.folder / "nli.yaml").write_text(yaml.safe_dump(config))
    where = ["--config", str(program.folder / "nli.yaml"), "--run.folder", str(program.folder / "runs")]
    assert run_command(["data", "inspect", *where[:2], "--out", str(program.folder / "report")]) == 0
    told = (program.folder / "report" / "inspect.md").read_text(encoding="utf-8")
    assert " pair " in told and "lose their end" not in told, "each text of a pair has the length to itself"
    assert run_command(["fit", *where]) == 0
    with (program.folder / "runs" / "nli" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["loss/simcse"]]) == 6
    assert any(row.get("validation/simcse/loss") for row in rows)
