"""How many labels of cross entropy a way is worth: curve.png and worth.md, from results.jsonl and setfit.jsonl.

python experiments/scaling/curve.py                                  after ablate
python experiments/scaling/curve.py --setfit-python PATH             SetFit's missing runs first, in its interpreter
"""

import argparse
import itertools
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from research.ablation.design.grid import Grid
from research.ablation.reporting.statistics import interval
from research.ablation.results import Results
from research.evaluation.plot import MARKS, panels

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNS = Path("runs/scaling_setfit")
BASE, SETFIT = "ce", "setfit"
FIGURES = {"accuracy": "test/ce/accuracy", "STS-B": "test/sts/spearman"}


@dataclass(frozen=True)
class Point:
    """What one run came to."""

    task: str
    way: str
    labels: int
    seed: int
    figures: dict[str, float]


def of_grid(results: Results) -> Iterator[Point]:
    for run in results.runs:
        if run["status"] == "done":
            arm, figures = run["arm"], {name: run["metrics"][key] for name, key in FIGURES.items()}
            yield Point(arm["task"], arm["way"], int(arm["labels"]), run["seed"], figures)


def of_setfit(path: Path) -> Iterator[Point]:
    for line in path.read_text().splitlines() if path.exists() else []:
        given = json.loads(line)
        yield Point(given["task"], SETFIT, given["labels"], given["seed"], given["figures"])


def ask_setfit(grid: Grid, python: str, path: Path) -> None:
    """Add to the file what SetFit has not been asked yet: every task, number of labels and seed of the grid."""
    sys.path.insert(0, str(HERE.parent / "few_shot"))
    from run import setfit_answer, texts

    known = {(point.task, point.labels, point.seed) for point in of_setfit(path)}
    asked = {(arm.coordinates["task"], int(arm.coordinates["labels"])): None for arm in grid.arms()}
    for task, labels in asked:
        for seed in grid.seeds:
            if (task, labels, seed) in known:
                continue
            train, test = texts(task, "train", seed, labels), texts(task, "test")
            answer = setfit_answer(RUNS / f"{task}-{labels}-{seed}", task, seed, train, test, python)
            right = sum(given == label for given, (_, label, _) in zip(answer["labels"], test, strict=True))
            line = {"task": task, "labels": labels, "seed": seed,
                    "figures": {"accuracy": right / len(test), "STS-B": answer["sts"]}}  # fmt: skip
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)


def worth(accuracy: float, base: dict[int, float]) -> float:
    """The fewest labels with which the base is as accurate, linear in log(labels) between its points.

    It is 0 where its fewest are enough, and infinite where its most are not.
    """
    points = sorted(base.items())
    if points[0][1] >= accuracy:
        return 0.0
    for (few, low), (many, high) in itertools.pairwise(points):
        if high >= accuracy:
            return math.exp(float(np.interp(accuracy, [low, high], [math.log(few), math.log(many)])))
    return math.inf


def told(labels: float, base: dict[int, float]) -> str:
    return f"≤ {min(base)}" if labels == 0 else f"> {max(base)}" if math.isinf(labels) else f"{labels:.0f}"


def table(points: list[Point], task: str) -> Iterator[str]:
    """A row for each way and number of labels of a task."""
    ways = dict.fromkeys(point.way for point in points if point.task == task)
    curve = {way: by_labels(points, task, way) for way in ways}
    base = {labels: of_seeds(seeds, "accuracy") for labels, seeds in curve[BASE].items()}
    means = {labels: float(np.mean([*values.values()])) for labels, values in base.items()}
    yield f"| labels a class | way | accuracy | STS-B | as good as {BASE} at | seed by seed |"
    yield "|---|---|---|---|---|---|"
    for labels in sorted({point.labels for point in points if point.task == task}):
        for way in (way for way in ways if labels in curve[way]):
            accuracy, sts = (of_seeds(curve[way][labels], name) for name in FIGURES)
            shown = [f"{of.mean:.3f}" + (f" ± {of.half:.3f}" if of.half is not None else "")
                     for of in (interval([*values.values()]) for values in (accuracy, sts))]  # fmt: skip
            mine = told(worth(float(np.mean([*accuracy.values()])), means), means) if way != BASE else "-"
            each = sorted(
                worth(value, {n: values[seed] for n, values in base.items() if seed in values})
                for seed, value in accuracy.items()
            )
            span = f"{told(each[0], means)} to {told(each[-1], means)}" if way != BASE else "-"
            yield f"| {labels} | {way} | {' | '.join(shown)} | {mine} | {span} |"


def by_labels(points: list[Point], task: str, way: str) -> dict[int, list[Point]]:
    mine = [point for point in points if (point.task, point.way) == (task, way)]
    return {n: [point for point in mine if point.labels == n] for n in sorted({point.labels for point in mine})}


def of_seeds(points: list[Point], figure: str) -> dict[int, float]:
    return {point.seed: point.figures[figure] for point in points}


def draw(points: list[Point], out: Path) -> None:
    """Accuracy against labels a class, a panel a task and a line a way, with the 95% intervals over seeds."""
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys(point.task for point in points))
    figure, axes = panels(len(tasks))
    for one, task in zip(axes, tasks, strict=True):
        ways = dict.fromkeys(point.way for point in points if point.task == task)
        for i, way in enumerate(ways):
            curve = by_labels(points, task, way)
            of = [interval([*of_seeds(seeds, "accuracy").values()]) for seeds in curve.values()]
            halves = [each.half or 0.0 for each in of]
            one.errorbar([*curve], [each.mean for each in of], halves, label=way, ls=MARKS[i % len(MARKS)], capsize=2)
        one.set_xscale("log", base=2)
        one.xaxis.set_major_formatter("{x:.0f}")
        one.set(title=task, xlabel="labels a class", ylabel="accuracy, test split")
        one.grid(alpha=0.3)
        one.legend()
    figure.savefig(out, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setfit-python", metavar="PATH", help="an interpreter with setfit")
    parser.add_argument("--folder", type=Path, default=HERE, help="where grid.yaml and its results lie")
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    if asked.setfit_python:
        python = str(Path(asked.setfit_python).absolute())
        os.chdir(ROOT)
        ask_setfit(Grid.read(folder / "grid.yaml"), python, folder / "setfit.jsonl")
    results = Results.read(folder / "results.jsonl")
    points = [*of_grid(results), *of_setfit(folder / "setfit.jsonl")]
    lines = []
    for task in dict.fromkeys(point.task for point in points):
        lines += [f"### {task}", "", *table(points, task), ""]
    lines.append(f"Mean over seeds ± half the width of its 95% interval (Student's t). As good as {BASE} at: the "
                 f"fewest labels a class with which the mean accuracy of {BASE} is as high, linear in log(labels); "
                 f"then the same of each seed's own, least to most. Commit {results.header['commit']}.")  # fmt: skip
    (folder / "worth.md").write_text("\n".join(lines) + "\n")
    draw(points, folder / "curve.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
