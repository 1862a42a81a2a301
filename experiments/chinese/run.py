"""Trains and tests configs/waimai.yaml and its twin beside baselines; writes results.json and results.md.

python experiments/chinese/run.py                  (--seeds 7 8 9 for several)
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import yaml
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

from research.data.sources import CSV
from research.data.tokenised import share, text_hash
from research.evaluation.report import figures, shown
from research.run import Run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONFIG = ROOT / "configs/waimai.yaml"
RUNS = Path("runs/chinese")
ARMS = {"hybrid": [], "cross entropy alone": ["configs/ce_only/waimai.yaml"]}
SCORES = ("accuracy", "macro_f1")


def train_and_test(name: str, files: list[str], seed: int) -> dict[str, float]:
    """Test figures of a fresh run."""
    config = [part for file in ("configs/waimai.yaml", *files) for part in ("--config", file)]
    config += ["--seed_everything", str(seed), "--run.folder", str(RUNS), "--run.name", f"{name.split()[0]}-{seed}"]
    for more in (["fit", *config], ["test", *config, "--ckpt_path", "last"]):
        done = subprocess.run([sys.executable, "-m", "research.cli", *more], cwd=ROOT)
        if done.returncode:
            sys.exit(f"{name}: exit status {done.returncode}")
    found = figures(Run(name=f"{name.split()[0]}-{seed}", folder=str(ROOT / RUNS)).versions()[-1])
    return {score: found[f"ce/{score}"] for score in SCORES}


def baselines() -> dict[str, dict[str, float]]:
    """The majority, and a logistic regression on n-grams of characters, on the same split of the texts."""
    init = yaml.safe_load(CONFIG.read_text())["data"]["streams"]["reviews"]["init_args"]
    source = init["source"]["init_args"]
    records = list(CSV(**{**source, "paths": str(ROOT / source["paths"])}))
    hashes = np.array([text_hash(record["text"] + "\n") for record in records], dtype=np.uint64)
    place, held_out = share(hashes, seed=0), init["validation"] + init["test"]
    texts, labels = np.array([r["text"] for r in records]), np.array([r["label"] for r in records])
    train, test = place >= held_out, (place >= init["validation"]) & (place < held_out)
    models = {
        "majority": DummyClassifier(),
        "logistic regression on character 1- to 3-grams": make_pipeline(
            TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True),
            LogisticRegression(C=10, max_iter=500),
        ),
    }
    out = {}
    for name, model in models.items():
        guess = model.fit(texts[train], labels[train]).predict(texts[test])
        out[name] = {
            "accuracy": accuracy_score(labels[test], guess),
            "macro_f1": f1_score(labels[test], guess, average="macro"),
            "train": int(train.sum()),
            "test": int(test.sum()),
        }
    return out


def report(results: dict[str, Any]) -> str:
    lines = ["| | accuracy | macro F1 | accuracy by seed |", "|---|---|---|---|"]
    for name, row in results["baselines"].items():
        lines.append(f"| {name} | {shown(row['accuracy'])} | {shown(row['macro_f1'])} | |")
    for name, by_seed in results["arms"].items():
        means = [shown(mean(row[score] for row in by_seed.values())) for score in SCORES]
        each = ", ".join(shown(row["accuracy"]) for row in by_seed.values())
        lines.append(f"| {name} | {' | '.join(means)} | {each} |")
    sizes = results["baselines"]["majority"]
    lines += [
        "",
        f"{sizes['train']:,} training and {sizes['test']:,} test reviews; seeds {', '.join(results['seeds'])}; "
        f"commit {results['commit']}: `{results['command']}`.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[7])
    seeds: list[int] = parser.parse_args().seeds
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    results = {
        "command": f"python experiments/chinese/run.py --seeds {' '.join(map(str, seeds))}",
        "config": str(CONFIG.relative_to(ROOT)),
        "commit": commit.stdout.strip(),
        "seeds": [str(seed) for seed in seeds],
        "baselines": baselines(),
        "arms": {name: {str(s): train_and_test(name, files, s) for s in seeds} for name, files in ARMS.items()},
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
