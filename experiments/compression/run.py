"""Teachers, students of some of their layers, and both in fewer and smaller numbers; writes results.json, .md and .png.

python experiments/compression/run.py                  (--tasks, --seeds, --epochs for less)
"""

import argparse
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "speed"))
from common import machine  # noqa: E402
from tables import FIRST, draw, report  # noqa: E402

from research.ablation.results import commit  # noqa: E402
from research.checkpoints import LAST  # noqa: E402
from research.compression.command import compress, parsed  # noqa: E402
from research.compression.folder import size_of  # noqa: E402
from research.compression.table import measured, parameters, quality  # noqa: E402
from research.evaluation.errors.data import texts_of_split  # noqa: E402
from research.files import write_whole  # noqa: E402
from research.inference import load  # noqa: E402
from research.inference.decisions.scored import data_of  # noqa: E402
from research.inference.export.command import whole  # noqa: E402
from research.inference.loading import checkpoint_of  # noqa: E402
from research.terminal import run_command  # noqa: E402

RUNS = Path("runs/compression")
CONFIGS = HERE.parent / "distillation"  # of the tasks and the teacher
TASKS = ("trec", "sst2")
STUDENTS = {"6 layers": None, "3 layers": [0, 2, 5], "2 layers": [0, 5], "1 layer": [0]}  # the layers kept
WAYS = {  # arguments of `compress`
    "": [],
    "int8": ["--bits", "8"],
    "trimmed": ["--vocabulary"],
    "trimmed, int8": ["--vocabulary", "--bits", "8"],
    "trimmed, int4": ["--vocabulary", "--bits", "4"],
    "trimmed, 1/4 of the heads out, int8": ["--vocabulary", "--heads", "0.25", "--bits", "8"],
    "trimmed, rank 128, int8": ["--vocabulary", "--rank", "128", "--bits", "8"],
}


def command(*arguments: str | Path) -> None:
    os.environ.pop("HYBRID_RUN_FOLDER", None)
    if status := run_command([str(argument) for argument in arguments]):
        sys.exit(f"exit status {status}: {' '.join(map(str, arguments))}")


def trained(task: str, student: str, seed: int, epochs: int) -> Path:
    """The run of a student, which is trained unless it is done; a killed one goes on."""
    folder = RUNS / f"{task}-{student.replace(' ', '-')}-{epochs}-{seed}"
    files = [HERE / "base.yaml", CONFIGS / f"{task}.yaml"]
    more: list[str | Path] = ["--run.name", folder.name, "--seed_everything", str(seed)]
    more += ["--trainer.max_epochs", str(epochs)]
    if student == FIRST:
        files.append(CONFIGS / "teacher.yaml")
    else:
        teacher = trained(task, FIRST, seed, epochs)
        files.append(HERE / "student.yaml")
        more += ["--model.teacher.init_args.checkpoint", teacher / "checkpoints" / LAST]
        more += ["--model.student.backbone", backbone(teacher), "--model.student.keep_layers", str(STUDENTS[student])]
    if not (folder / "fit.json").exists():
        going_on = ["--ckpt_path", "last"] if (folder / "checkpoints" / LAST).exists() else []
        if not going_on:
            shutil.rmtree(folder, ignore_errors=True)
        command("fit", *(part for file in files for part in ("--config", file)), *more, *going_on)
    return folder


def backbone(run: Path) -> Path:
    """The fine-tuned language model of a run, for students to begin with."""
    folder = run.with_name(f"{run.name}-backbone")
    if not folder.exists():
        command("export", "--ckpt", run, "--format", "transformers", "--task", "none", "--output", folder)
    return folder


def made(run: Path, way: str) -> Path:
    """The folder of a run's student, compressed one way."""
    folder = run.with_name(f"{run.name}-{way or 'whole'}".replace(" ", "-").replace("/", "-"))
    if not folder.exists():
        with whole(folder) as work:
            compress(parsed(["--ckpt", str(run), "--output", str(folder), *WAYS[way]]), work)
    return folder


def judged(folder: Path) -> dict[str, float]:
    """Accuracy on both splits, the size in bytes and the parameters of what a folder holds."""
    model = load(folder, decisions=False)
    data = data_of(checkpoint_of(folder), model, "task")
    accuracy = {split: quality(model, data, "task", split)[1] for split in ("validation", "test")}
    return {**accuracy, "size": size_of(folder), "parameters": parameters(model.student)}


def each(task: str, seeds: list[int], epochs: int) -> dict[str, Any]:
    """All ways of all students of a task by their names; times and memory are of the first seed."""
    found: dict[str, Any] = {}
    folders: dict[str, Path] = {}
    for seed in seeds:
        for student in STUDENTS:
            run = trained(task, student, seed, epochs)
            for way in tqdm(WAYS, desc=f"{task}, {student}, seed {seed}", disable=None):
                name = f"{student}, {way}" if way else student
                folder = made(run, way)
                folders.setdefault(name, folder)
                found.setdefault(name, {"seeds": []})["seeds"].append(judged(folder))
    first = folders[FIRST]
    data = data_of(checkpoint_of(first), load(first, decisions=False), "task")
    texts = list(texts_of_split(data, "validation").values())
    times = measured({name: checkpoint_of(folder) for name, folder in folders.items()}, "task", texts)
    for name, (milliseconds, memory) in times.items():
        found[name] |= {"milliseconds": milliseconds, "memory": memory}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=3, help="of training each")
    asked = parser.parse_args()
    os.chdir(ROOT)
    results: dict[str, Any] = {
        "command": shlex.join(["python", "experiments/compression/run.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine(),
        "seeds": asked.seeds,
        "epochs": asked.epochs,
        "tasks": {},
    }
    for task in asked.tasks:
        results["tasks"][task] = each(task, asked.seeds, asked.epochs)
    text = report(results)
    write_whole(HERE / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(HERE / "results.md", text + "\n")
    draw(results, list(STUDENTS), HERE / "results.png")
    print(text)


if __name__ == "__main__":
    main()
