"""Chooses rates and clips, trains with and without privacy, attacks what came out; results.json and results.md.

python experiments/privacy/run.py                       (--parts and --seeds for less)

Finished runs under runs/privacy/ are not repeated.
"""

import argparse
import csv
import json
import math
import os
import random
import shlex
import shutil
import sys
import zlib
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from research.ablation.reporting import statistics
from research.ablation.results import Results, commit
from research.files import write_whole
from research.terminal import run_command

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNS = Path("runs/privacy")
PARTS = ("questions", "messages")
DELTA = 1e-4
EPSILONS = (None, 8, 1)
TIMES = {1: ("anna", "boris", "clara"), 4: ("david", "elena", "frank"), 16: ("grace", "henry", "irene")}
MESSAGES, WORDS = 1000, 20  # how many, and the most words of one
Figures = dict[str, float]


def command(*arguments: str) -> None:
    if status := run_command(list(arguments)):
        sys.exit(f"exit status {status}: {' '.join(arguments)}")


def trained(name: str, seed: int, *config: str) -> Path:
    """The folder of a run, which is trained and tested unless it lies there; a killed one goes on."""
    name = f"{name}-{zlib.crc32(shlex.join(config).encode()):08x}"  # other rates are another run
    folder = RUNS / name
    options = [*config, "--run.name", name, "--seed_everything", str(seed)]
    if not (folder / "fit.json").exists():
        going_on = ["--ckpt_path", "last"] if (folder / "checkpoints" / "last.ckpt").exists() else []
        if not going_on:
            shutil.rmtree(folder, ignore_errors=True)
        command("fit", *options, *going_on)
    if not (folder / "test.json").exists():
        command("test", *options, "--ckpt_path", "last")
    return folder


@cache
def tuned(part: str) -> Results:
    """The search of tuning/ on the development split, which is gone on with where it is not finished."""
    folder = HERE / "tuning" / part
    path = folder / "results.jsonl"
    if not path.exists() or any(run["status"] != "done" for run in Results.read(path).runs):
        plant(0)  # which the messages' grid reads
        command("ablate", "--config", str(folder / "grid.yaml"), "--workers", "1")
    return Results.read(path)


def chosen(part: str, epsilon: float | None) -> list[str]:
    """The rates and privacy of an arm that may spend so much: the best of :func:`tuned`."""
    found = tuned(part)
    (metric, direction), *_ = found.header["metrics"].items()
    runs = [run for run in found.runs if run["arm"]["privacy"].split(",")[0] == named(epsilon)]
    finite = [run for run in runs if math.isfinite(run["metrics"][metric])]
    best = max if direction == "max" else min
    options = best(finite, key=lambda run: run["metrics"][metric])["options"]
    pairs = zip(options[::2], options[1::2], strict=True)
    return [each for name, value in pairs if name.startswith("--model.") for each in (name, value)]


def figures(folder: Path) -> Figures:
    """What the run itself says: on the development split, on the test split, and of its privacy."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    dev = {n: float(v) for row in rows for n, v in row.items() if n.startswith("validation/") and v}
    fit, test = (json.loads((folder / f"{which}.json").read_text()) for which in ("fit", "test"))
    spent = next(iter(fit.get("privacy", {}).values()), {})
    told = {name: spent[name] for name in ("epsilon", "noise_multiplier", "sampling_rate") if spent}
    return {"seconds": fit["seconds"], **told, **dev, **test}


def questions(hybrid: bool, epsilon: float | None, seed: int) -> Figures:
    """Accuracy, similarity and membership of a classifier of private questions."""
    from research.inference import load
    from research.inference.decisions.scored import data_of, scored
    from research.privacy.attacks import membership

    config = ["--config", str(HERE / "questions.yaml")]
    if hybrid:
        config += ["--config", str(HERE / "hybrid.yaml"), "--data.streams.wiki", (HERE / "wiki.yaml").read_text()]
    config += ["--data.streams.questions.init_args.split_seed", str(seed), *chosen("questions", epsilon)]
    folder = trained(f"questions-{'hybrid' if hybrid else 'alone'}-{epsilon}-{seed}", seed, *config)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    model = load(checkpoint)
    data = data_of(checkpoint, model, "questions")
    losses = [cross_entropy(scored(model, data, split)) for split in ("train", "test")]
    area, found = membership(*losses)
    return {"auc": area, "found": found, **figures(folder)}


def cross_entropy(of: Any) -> Any:
    """The loss (n,) of each example."""
    from scipy.special import logsumexp

    right = of.logits[range(len(of.labels)), of.labels]
    return logsumexp(of.logits.astype("float64"), axis=1) - right


def plant(seed: int) -> tuple[dict[str, str], list[str], list[str]]:
    """Write the messages of a seed, with each secret as often as its name says.

    Returns the secrets by name, the messages that are trained on, and as many others.
    """
    with Path("data/banking77/train.csv").open(newline="", encoding="utf-8") as file:
        texts = sorted({row["text"] for row in csv.DictReader(file) if len(row["text"].split()) <= WORDS})
    draw = random.Random(seed)
    draw.shuffle(texts)
    secrets = {name: " ".join(draw.choices("0123456789", k=4)) for names in TIMES.values() for name in names}
    planted = [said(name, secrets[name]) for times, names in TIMES.items() for name in names for _ in range(times)]
    parts = {"messages": texts[:MESSAGES] + planted}
    parts |= {"dev": texts[MESSAGES : MESSAGES + 500], "test": texts[MESSAGES + 500 : 2 * MESSAGES + 500]}
    for name, part in parts.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in part)
        write_whole(RUNS / "data" / f"{name}-{seed}.jsonl", lines)
    return secrets, texts[:MESSAGES], parts["test"]


def without_duplicates(seed: int) -> Path:
    """The messages as the data pipeline leaves them that drops what was said before."""
    folder = RUNS / "data" / f"once-{seed}"
    if not (folder / "data").exists():
        source = ["--sources.messages.init_args.paths", str(RUNS / "data" / f"messages-{seed}.jsonl")]
        command("data", "prepare", "--config", str(HERE / "once.yaml"), "--folder", str(folder), *source)
    return folder / "data"


def said(name: str, code: str) -> str:
    return f"my name is {name} and my code is {code}"


def messages(once: bool, epsilon: float | None, seed: int) -> Figures:
    """Perplexity of a language model of private messages, membership, and the exposure of secrets planted in them."""
    from research.inference import load
    from research.privacy.attacks import exposure, membership, text_losses

    secrets, members, others = plant(seed)
    config = ["--config", str(HERE / "messages.yaml"), *chosen("messages", epsilon)]
    paths = {name: RUNS / "data" / f"{name}-{seed}.jsonl" for name in ("messages", "dev", "test")}
    paths |= {"messages": without_duplicates(seed)} if once else {}
    for split, part in (("source", "messages"), ("validation", "dev"), ("test", "test")):
        config += [f"--data.streams.messages.init_args.{split}.init_args.paths", str(paths[part])]
    folder = trained(f"messages-{'once' if once else 'all'}-{epsilon}-{seed}", seed, *config)
    model = load(folder)
    lengths = [np.array([len(text.split()) for text in texts]) for texts in (members, others)]
    losses = [text_losses(model, texts, "messages") for texts in (members, others)]
    area, found = membership(*(loss / length for loss, length in zip(losses, lengths, strict=True)))
    codes = [" ".join(digits) for digits in product("0123456789", repeat=4)]
    shown = {}
    for times, names in TIMES.items():
        of_each = []
        for name in names:
            likely = text_losses(model, [said(name, code) for code in codes], "messages")
            of_each.append(exposure(likely[codes.index(secrets[name])], likely))
        shown[f"exposure_{times}"] = sum(of_each) / len(of_each)
    return {"auc": area, "found": found, **shown, **figures(folder)}


def cell(seeds: list[Figures], name: str, scale: float = 1.0, digits: int = 2) -> str:
    """The mean, with half the width of its 95% interval over seeds by Student's t."""
    values = [scale * one[name] for one in seeds if name in one]
    if not values:
        return "-"
    of = statistics.interval(values)
    return f"{of.mean:.{digits}f}" + ("" if of.half is None else f" ± {of.half:.{digits}f}")


ATTACK = {"attack: area under ROC": ("auc", 1, 3), "members found at 1% false, %": ("found", 100, 1)}
COLUMNS: dict[str, dict[str, tuple[str, float, int]]] = {
    "questions": {
        "epsilon": ("epsilon", 1, 2),
        "noise multiplier": ("noise_multiplier", 1, 2),
        "accuracy, %": ("test/ce/accuracy", 100, 1),
        "STS-B": ("test/sts/spearman", 1, 3),
        **ATTACK,
        "seconds": ("seconds", 1, 0),
    },
    "messages": {
        "epsilon": ("epsilon", 1, 2),
        "noise multiplier": ("noise_multiplier", 1, 2),
        "perplexity": ("test/private/perplexity", 1, 1),
        **ATTACK,
        **{f"exposure, said {times} time{'s' if times > 1 else ''}": (f"exposure_{times}", 1, 1) for times in TIMES},
        "seconds": ("seconds", 1, 0),
    },
}


def report(results: dict[str, Any]) -> str:
    lines = []
    for part, arms in results["parts"].items():
        columns = COLUMNS[part]
        lines += [f"### {part}", "", f"| arm | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
        for arm, seeds in arms.items():
            lines.append(f"| {arm} | {' | '.join(cell(seeds, *column) for column in columns.values())} |")
        lines.append("")
    told = f"Commit {results['commit']}: `{results['command']}`, seeds {results['seeds']}, delta {DELTA:g}."
    return "\n".join(
        [*lines, "Mean over seeds and half the width of its 95% interval (Student's t), on the test split.", "", told]
    )


def named(epsilon: float | None) -> str:
    return "not private" if epsilon is None else f"epsilon {epsilon}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    os.chdir(ROOT)
    told = " ".join(["python", "experiments/privacy/run.py", *sys.argv[1:]])
    results: dict[str, Any] = {"command": told, "commit": commit(), "seeds": asked.seeds, "parts": {}}
    arms: dict[str, dict[str, Any]] = {
        "questions": {
            f"{'with public text' if hybrid else 'alone'}, {named(epsilon)}": (questions, hybrid, epsilon)
            for hybrid, epsilon in product((False, True), EPSILONS)
        },
        "messages": {
            "not private": (messages, False, None),
            "not private, duplicates dropped": (messages, True, None),
            **{named(epsilon): (messages, False, epsilon) for epsilon in EPSILONS if epsilon is not None},
        },
    }
    for part in asked.parts:
        results["parts"][part] = {}
        for arm, (measure, *given) in arms[part].items():
            results["parts"][part][arm] = [measure(*given, seed) for seed in asked.seeds]
            write_whole(HERE / "results.json", json.dumps(results, indent=1) + "\n")
            write_whole(HERE / "results.md", report(results) + "\n")
    print(report(results))


if __name__ == "__main__":
    main()
