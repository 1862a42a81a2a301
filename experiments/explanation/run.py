"""Which words, examples and layers answers hang on: trains what it asks and writes results.json and results.md.

python experiments/explanation/run.py                  (--seeds, --questions and --parts for less)

The layers are a grid of `ablate`, whose tables lie in layers/. What lies under runs/explanation/ is not made again.
"""

import argparse
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from research.ablation.results import commit
from research.files import write_whole
from research.inference import load
from research.terminal import run_command

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
from measuring import METHODS, detection, faithful  # noqa: E402
from summary import report  # noqa: E402

RUNS = Path("runs/explanation")
TRAIN, TEST = Path("data/trec/train.all"), Path("data/trec/test.all")
WRONG = 0.1  # of the training labels, where wrong ones are to be found
RANKED = 2000  # training questions, of which the wrong ones are to be found
PARTS = ("words", "examples", "layers")
STEPS = 60


def command(*arguments: str) -> None:
    if status := run_command(list(arguments)):
        sys.exit(f"exit status {status}: {' '.join(arguments)}")


def trained(name: str, seed: int, *more: str) -> Path:
    """The folder of a run, which is trained unless it lies there."""
    folder = RUNS / f"{name}-{seed}"
    if not (folder / "fit.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        named = ["--run.folder", str(RUNS), "--run.name", folder.name, "--seed_everything", str(seed)]
        command("fit", "--config", str(HERE / "base.yaml"), *more, *named, "--trainer.max_steps", str(STEPS))
    return folder


def questions(path: Path) -> list[tuple[str, str]]:
    """The label and the text of each line."""
    lines = path.read_text(encoding="latin-1").splitlines()
    return [(label, text) for label, _, text in (line.partition(" ") for line in lines)]


def corrupted(seed: int) -> tuple[Path, list[tuple[str, str]], list[bool]]:
    """A training file whose labels are wrong for a share of the questions, its questions, and which are wrong."""
    rng, known = random.Random(seed), questions(TRAIN)
    classes = sorted({label for label, _ in known})
    wrong = [rng.random() < WRONG for _ in known]
    told = [
        (rng.choice([c for c in classes if c != label]) if bad else label, text)
        for (label, text), bad in zip(known, wrong, strict=True)
    ]
    path = RUNS / f"wrong-{seed}.all"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{label} {text}\n" for label, text in told), encoding="latin-1")
    return path, told, wrong


def words(seed: int, count: int) -> dict[str, Any]:
    """How faithful each method is to a run's answers to test questions, the same for all seeds."""
    model = load(trained("clean", seed))
    asked = random.Random(0).sample([text for _, text in questions(TEST)], count)
    return faithful(model, asked, seed)


def examples(seed: int) -> dict[str, float]:
    """How well influence finds wrong labels."""
    path, told, wrong = corrupted(seed)
    few = sorted(random.Random(seed).sample(range(len(told)), RANKED))
    source = [
        "--config",
        str(HERE / "checkpoints.yaml"),
        "--data.streams.task.init_args.source.init_args.paths",
        str(path),
    ]
    folder = trained("wrong", seed, *source)
    kept = sorted(path for path in (folder / "checkpoints").glob("*.ckpt") if path.stem.isdigit())
    return detection([load(path) for path in kept], [told[i] for i in few], [wrong[i] for i in few])


def once(name: str, seed: int, measure: Callable[[int], Any]) -> Any:
    """What is measured of a seed, or was before the command was stopped."""
    path = RUNS / f"{name}-{seed}.json"
    if not path.exists():
        write_whole(path, json.dumps(measure(seed)))
    return json.loads(path.read_text())


def written(results: dict[str, Any]) -> None:
    write_whole(HERE / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(HERE / "results.md", report(results) + "\n")
    print(report(results), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--questions", type=int, default=60, help="test questions that are explained")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="none: the tables alone")
    asked = parser.parse_args()
    os.chdir(ROOT)
    path = HERE / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    made = {"command": " ".join(["python", "experiments/explanation/run.py", *sys.argv[1:]]), "commit": commit(),
            "seeds": asked.seeds}  # fmt: skip
    if not asked.parts:
        written(results)
    if "words" in asked.parts:
        found = [
            once(f"words-{asked.questions}", seed, lambda seed: words(seed, asked.questions)) for seed in asked.seeds
        ]
        results["words"] = {**made, "figures": {m: [one[m] for one in found] for m in METHODS}}
        written(results)
    if "examples" in asked.parts:
        results["examples"] = {**made, "figures": [once("examples", seed, examples) for seed in asked.seeds]}
        written(results)
    if "layers" in asked.parts:
        command(
            "ablate",
            "--config",
            str((HERE / "layers" / "grid.yaml").relative_to(ROOT)),
            "--seeds",
            json.dumps(asked.seeds),
        )


if __name__ == "__main__":
    main()
