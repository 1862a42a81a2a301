"""Two runs of the real program: how their examples fared, where they err, and where they differ."""

import csv
import json
import re
import shutil
import signal
from pathlib import Path

import pytest
import yaml

from research.callbacks.metrics_log import MetricsLog
from research.data.curriculum import read_losses
from research.data.inspect.layout import width
from research.terminal import run_command

WATCH = ["--trainer.callbacks+=research.callbacks.TrainingDynamics", "--trainer.callbacks.objective", "ce"]
SHORT = ["--trainer.max_steps", "12", "--trainer.limit_val_batches", "0"]
FREELB = ["--model.objectives.ce.class_path", "research.objectives.FreeLB"]


def lines_of(program, name, file):
    return (program.run_folder(name) / file).read_text().splitlines()


def test_watching_changes_nothing_and_resumes_exactly(program, monkeypatch):
    assert program("fit", "plain", *SHORT) == 0
    assert program("fit", "watched", *WATCH, *SHORT) == 0
    assert program.log("watched") == program.log("plain"), "not a random number was drawn"
    log = MetricsLog.on_train_batch_end

    def stop(self, trainer, *args):
        log(self, trainer, *args)
        if trainer.global_step == 7:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "on_train_batch_end", stop)
        assert program("fit", "stopped", *WATCH, *SHORT) == 128 + signal.SIGTERM
    assert program("fit", "stopped", *WATCH, *SHORT, "--ckpt_path", "last") == 0
    file = "dynamics.intents.jsonl"
    assert lines_of(program, "stopped", file) == lines_of(program, "watched", file)
    rows = [json.loads(line) for line in lines_of(program, "watched", file)]
    counted = json.loads((program.run_folder("watched") / "fit.json").read_text())["mixture"]["intents"]
    assert sum(row["seen"] for row in rows) == counted["examples"] > len(rows), "each look is counted once"
    losses = read_losses(program.run_folder("watched") / file)  # what a curriculum reads
    assert losses == {row["where"]: row["loss"] for row in rows}


def test_dynamics_of_a_student_that_stands_still_are_its_losses(program):
    """Without dropout and with a learning rate of almost nothing, each look shows what ExampleLosses computes."""
    still = ["--model.student.dropout", "0.0", "--model.optimisation.lr", "1e-12"]  # the head's dropout is left out
    assert program("fit", "still", *still, *WATCH, *SHORT) == 0
    losses = ["--trainer.callbacks+=research.callbacks.ExampleLosses", "--trainer.callbacks.objective", "ce"]
    assert program("test", "still", *still, *losses, "--ckpt_path", "last") == 0
    expected = read_losses(program.run_folder("still") / "losses.jsonl")
    found = read_losses(program.run_folder("still") / "dynamics.intents.jsonl")
    assert len(found) > 30 and found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("objective", "more", "told"),
    [
        ("cee", [], "TrainingDynamics: no objective 'cee'; there are mlm, nce, ce"),
        ("mlm", [], "TrainingDynamics: mlm does not classify a stream of problem classify"),
        ("ce", FREELB, "TrainingDynamics: ce shows no text as it is; name another objective"),
    ],
)
def test_what_cannot_be_watched(program, capsys, objective, more, told):
    assert program("fit", "refused", *more, *WATCH[:-1], objective) == 2
    assert told in capsys.readouterr().err
    assert not program.run_folder("refused").exists()


def test_errors_of_two_runs(program, capsys, tmp_path):
    for name, seed in (("one", "1"), ("two", "2")):
        more = ["--seed_everything", seed, *(WATCH if name == "one" else [])]
        assert program("fit", name, *more, *SHORT) == 0
    one, two = program.run_folder("one"), program.run_folder("two")
    capsys.readouterr()
    assert run_command(["errors", str(one), str(two)]) == 2
    told = capsys.readouterr().err.strip()
    command = told.partition("which this command writes: ")[2].split()[3:]
    assert command[:2] == ["predict", "--config"] and told.count("\n") == 0
    assert run_command(command) == 0, "the command of the message"
    assert program("predict", "two", "--seed_everything", "2", "--ckpt_path", "last") == 0

    capsys.readouterr()
    assert run_command(["errors", str(one), str(two), "--out", str(tmp_path / "errors.html"), "--examples", "4"]) == 0
    shown = capsys.readouterr().out
    for folder in (program.folder, tmp_path):
        shown = shown.replace(str(folder), "")
    assert max(map(width, shown.splitlines())) <= 80
    rows = [[json.loads(line) for line in lines_of(program, name, "predictions.jsonl")] for name in ("one", "two")]
    right = [{row["where"] for row in of_run if row["label"] == row["gold"]} for of_run in rows]
    for mine in right:
        assert f"accuracy {len(mine) / 50:.3f}" in shown
    assert ["all", "50", str(len(right[0] - right[1])), str(len(right[1] - right[0]))] in [
        line.split()[:4] for line in shown.splitlines()
    ]
    assert "Labels to doubt" in shown and "no dynamics.intents.jsonl; it is there after a fit with" in shown
    page = (tmp_path / "errors.html").read_text()
    assert "McNemar" in page and page.count("<img") == 3

    with (two / "predictions.jsonl").open("a") as file:
        file.write(json.dumps({**rows[1][0], "where": "elsewhere:1"}) + "\n")
    assert run_command(["errors", str(one), str(two)]) == 2
    assert "two: its predictions of intents are not of the same examples as those of" in capsys.readouterr().err


TASKS = {
    "facts": ("Generation", {"text": "mr", "target": "ref"}, {"problem": "generate", "max_target_length": 24}),
    "kinds": ("Classification", {"text": "ref", "label": "kinds"}, {"problem": "multilabel"}),
    "number": ("Regression", {"text": "ref", "label": "number"}, {"problem": "regress"}),
}


def test_errors_of_the_other_problems(program, slices, tmp_path, capsys):
    """What a sentence tells of a restaurant: to be written, as labels, and counted."""
    pytest.importorskip("sacrebleu", reason="the extra generation is not installed")
    with (slices / "e2e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["kinds"] = re.findall(r"(\w+)\[", row["mr"])
        row["number"] = len(row["kinds"])
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = yaml.safe_load((Path(__file__).parent / "writer.yaml").read_text().replace("SLICES", str(slices)))
    config["model"]["objectives"], config["data"]["streams"], config["trainer"]["callbacks"] = {}, {}, []
    for name, (objective, columns, task) in TASKS.items():
        given = {"class_path": f"research.objectives.{objective}", "init_args": {"stream": name}}
        config["model"]["objectives"][name] = given
        columns = {"class_path": "research.data.sources.JSONLines", "init_args": columns}
        columns["init_args"]["paths"] = str(tmp_path / "facts.jsonl")
        task |= {"source": columns, "test": 0.5, "batch_size": 4}
        config["data"]["streams"][name] = {"class_path": "research.data.TaskDataModule", "init_args": task}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    other = type(program)(tmp_path)
    assert other("fit", "one", "--trainer.max_steps", "20") == 0
    assert other("predict", "one", "--ckpt_path", "last") == 0
    one, two = other.run_folder("one"), shutil.copytree(other.run_folder("one"), other.run_folder("two"))

    capsys.readouterr()
    assert run_command(["errors", str(one), str(two)]) == 0
    shown = capsys.readouterr().out
    assert max(map(width, shown.replace(str(tmp_path), "").splitlines())) <= 80
    page = (one / "errors.html").read_text()
    for title in ("Labels", "Labels given for others", "Residuals", "Too high", "Written texts", "Worst texts"):
        assert f"\n{title}\n====" in shown and f"<h3>{title}</h3>" in page
    answers = [json.loads(line) for line in (one / "predictions.jsonl").read_text().splitlines()]
    numbers = [line for line in answers if line["stream"] == "number"]
    error = sum(abs(line["gold"] - line["value"]) for line in numbers) / len(numbers)
    sliced = [line.split()[:3] for line in shown.splitlines() if line.startswith("all ")]
    assert ["all", str(len(numbers)), f"{error:.4g}"] in sliced
    assert "Training examples" not in shown, "dynamics are of problem classify"

    mixed = [line if line["stream"] != "facts" else {**line, "gold": 1.0, "value": 1.0} for line in answers]
    (two / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in mixed))
    assert run_command(["errors", str(one), str(two)]) == 2
    assert "are of another problem than those of" in capsys.readouterr().err
