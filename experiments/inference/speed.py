"""Quality against latency of ways to ask a trained student; writes results.json, results.md and results.png.

python experiments/inference/speed.py                  (--steps, --seeds, --repeats and --texts for less)
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "speed"))
from common import commit, machine, made_by, spread, table  # noqa: E402
from early_exit import EarlyExit, Examples  # noqa: E402
from ways import TASK, Ask, ways_of  # noqa: E402

from research.ablation.reporting import statistics  # noqa: E402
from research.data.sources import LabelledLines  # noqa: E402
from research.data.tokenised import record_hash, share  # noqa: E402
from research.evaluation.plot import canvas, save  # noqa: E402
from research.files import write_whole  # noqa: E402
from research.inference import load  # noqa: E402
from research.terminal import run_command  # noqa: E402

RUNS = Path("runs/inference")
STUDENTS: dict[str, tuple[list[int] | None, float]] = {  # layers kept, learning rate
    "6 layers": (None, 5e-5),
    "3 layers": ([0, 2, 5], 2e-4),
    "2 layers": ([0, 5], 2e-4),
}
CUT = ("predict", "predict, int8", "ONNX Runtime, int8")  # the ways that smaller students are asked in
BATCH = 32


def trained(student: str, seed: int, steps: int) -> Path:
    """The checkpoint of a student, which is trained unless its run lies there; a killed one goes on."""
    layers, lr = STUDENTS[student]
    name = f"{student.replace(' ', '-')}-{steps}-{seed}"
    config = ["--config", str(HERE / "base.yaml"), "--run.name", name, "--run.folder", str(RUNS)]
    config += ["--trainer.max_steps", str(steps), "--trainer.val_check_interval", str(steps)]
    config += ["--seed_everything", str(seed), "--model.optimisation.lr", str(lr)]
    if layers is not None:
        config += ["--model.student.keep_layers", str(layers)]
    folder = RUNS / name
    last = folder / "checkpoints" / "last.ckpt"
    if not (folder / "fit.json").exists():
        going_on = ["--ckpt_path", "last"] if last.exists() else []
        if not going_on:
            shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop("HYBRID_RUN_FOLDER", None)
        if status := run_command(["fit", *config, *going_on]):
            sys.exit(f"{name}: exit status {status}")
    return last


def split(path: str) -> tuple[list[str], list[str]]:
    """Texts and labels of a file."""
    records = list(LabelledLines(path, encoding="latin-1"))
    return [r["text"] for r in records], [str(r["label"]) for r in records]


def examples(labels: tuple[str, ...]) -> Examples:
    """The training texts, and those that ``validation: 0.1`` of the config holds out."""
    texts, gold = split("data/trec/train.all")
    classes = np.array([labels.index(label) for label in gold])
    held_out = share(np.array([record_hash({"text": text}) for text in texts], np.uint64), 0) < 0.1
    train, development = (
        ([text for text, chosen in zip(texts, part, strict=True) if chosen], classes[part])
        for part in (~held_out, held_out)
    )
    return Examples(train, development)


def asked(way: Ask, texts: list[str], by_length: bool) -> np.ndarray:
    """The probabilities of texts in their order, batch by batch."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i])) if by_length else list(range(len(texts)))
    parts = [way([texts[i] for i in order[start : start + BATCH]]) for start in range(0, len(order), BATCH)]
    return np.concatenate(parts)[np.argsort(order)]


def clocked(way: Ask, texts: list[str], alone: int) -> dict[str, Any]:
    """Milliseconds for a text alone, and texts a second of many, by length or as they come."""
    seconds = []
    for text in texts[:alone]:
        start = time.perf_counter()
        way([text])
        seconds.append(time.perf_counter() - start)
    p50, p95 = (1000 * float(np.percentile(seconds, p)) for p in (50, 95))
    rates = {}
    for name, by_length in (("by length", True), ("as they come", False)):
        start = time.perf_counter()
        asked(way, texts, by_length)
        rates[name] = len(texts) / (time.perf_counter() - start)
    return {"p50 (ms)": p50, "p95 (ms)": p95, **rates}


def report(results: dict[str, Any]) -> list[str]:
    rows = []
    for name, entry in results["ways"].items():
        of = statistics.interval([100 * each for each in entry["accuracy"]])
        quality = f"{of.mean:.1f}" + (f" ± {of.half:.1f}" if of.half is not None else "")
        times = [spread([turn[key] for turn in entry["turns"]]) for key in entry["turns"][0]]
        rows.append([name, quality, *times])
    head = ["student, way", "accuracy (%)", "p50 (ms)", "p95 (ms)", "texts a second, sorted by length", "as they come"]
    lines = [*made_by(results), *table(head, rows), ""]
    lines.append(
        f"TREC's six types of question, the 500 of the test split; students of seeds {results['seeds']}: mean and half "
        "the width of its 95% interval (Student's t). "
        f"Times are of seed {results['seeds'][0]}, on {results['threads']} threads, tokenising included: "
        f"{results['alone']} texts one at a time, and all 500 in batches of {BATCH}; median (least to most) of "
        f"{results['repeats']} repeats, in each of which all ways have their turn."
    )
    if results["early exit"]:
        lines += [
            "",
            f"Early exit: of 500 texts {results['early exit']} left at layers 1 to 6 (seed {results['seeds'][0]}).",
        ]
    if not any("bfloat16" in name for name in results["ways"]):
        lines += ["", "bfloat16 is left out: this processor only emulates it."]
    return lines


def draw(results: dict[str, Any]) -> None:
    figure, axes = canvas()
    figure.set_size_inches(9, 5)
    for (name, entry), mark in zip(results["ways"].items(), itertools.cycle("os^vDP*Xhd<>")):
        x = float(np.median([turn["p50 (ms)"] for turn in entry["turns"]]))
        of = statistics.interval([100 * each for each in entry["accuracy"]])
        axes.errorbar(x, of.mean, yerr=of.half or 0.0, fmt=mark, capsize=3, markersize=7, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("median time for one text (ms)")
    axes.set_ylabel("accuracy (%)")
    save(figure, axes, HERE / "results.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=340, help="of training a student; 340 are two passes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--texts", type=int, default=100, help="texts that are asked one at a time in a repeat")
    given = parser.parse_args()
    command = " ".join(["python experiments/inference/speed.py", *sys.argv[1:]])
    os.chdir(ROOT)
    torch.set_num_threads(os.cpu_count() or 1)
    texts, gold = split("data/trec/test.all")
    accuracy: dict[str, list[float]] = {}
    timed: dict[str, Ask] = {}
    leaving: list[int] = []
    for seed in given.seeds:
        for student in STUDENTS:
            checkpoint = trained(student, seed, given.steps)
            labels = load(checkpoint).tasks[TASK].labels
            work = RUNS / "exported" / f"{student.replace(' ', '-')}-{given.steps}-{seed}"
            shutil.rmtree(work, ignore_errors=True)
            ways = ways_of(checkpoint, work, examples(labels), None if student == "6 layers" else CUT)
            for name, way in tqdm(ways.items(), desc=f"{student}, seed {seed}", disable=None):
                said = [labels[i] for i in asked(way, texts, by_length=True).argmax(-1)]
                accuracy.setdefault(f"{student}, {name}", []).append(float(np.mean(np.array(said) == np.array(gold))))
                if seed == given.seeds[0]:
                    timed[f"{student}, {name}"] = way
                    leaving = list(way.left) if isinstance(way, EarlyExit) else leaving
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in timed}
    for _ in tqdm(range(given.repeats), desc="repeats", disable=None):
        for name, way in timed.items():
            turns[name].append(clocked(way, texts, given.texts))
    results: dict[str, Any] = {
        "command": command,
        "commit": commit(),
        "config": "experiments/inference/base.yaml",
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "steps": given.steps,
        "seeds": given.seeds,
        "repeats": given.repeats,
        "alone": given.texts,
        "early exit": leaving,
        "ways": {name: {"accuracy": accuracy[name], "turns": turns[name]} for name in timed},
    }
    lines = report(results)
    write_whole(HERE / "results.json", json.dumps(results, indent=1) + "\n")
    write_whole(HERE / "results.md", "\n".join(lines) + "\n")
    draw(results)
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
