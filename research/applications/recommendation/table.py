"""The comparison as results.json and results.md."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from research.ablation.reporting.statistics import resampled
from research.ablation.results import commit
from research.applications.recommendation.compare import COLD, Comparison, Entry
from research.applications.recommendation.ranking import gains, hits
from research.files import write_whole


def write(found: Comparison, folder: Path, arguments: Sequence[str]) -> None:
    """Both files, each whole or not at all, with the ``arguments`` of the command; the table is shown too."""
    head = {
        "command": f"python -m research.applications.recommendation {shlex.join(arguments)}".rstrip(),
        "commit": commit(),
        "seeds": found.seeds,
        "users": len(found.data.users),
        "films": len(found.data.names),
        "cold": {"below": COLD, "users": int((found.counts < COLD).sum())},
    }
    best, rows = compared(found)
    results = {
        **head,
        "best_baseline": best,
        "recommenders": rows,
        "personal": personal(found),
        "rating_rmse": found.ratings,
    }
    write_whole(folder / "results.json", json.dumps(results, indent=1) + "\n")
    text = markdown(results)
    write_whole(folder / "results.md", text)
    print(text)


def compared(found: Comparison) -> tuple[str, dict[str, Any]]:
    """The baseline that is best on the validation films, and the figures of all recommenders, also beside it."""
    best = max(found.baselines, key=lambda name: max(found.baselines[name].tried.values()))
    cold, against = found.counts < COLD, found.baselines[best].ranks
    return best, {
        name: _figures(entry, cold) | ({} if name == best else {"ndcg_minus_best": _difference(entry.ranks, against)})
        for name, entry in (found.baselines | found.hybrids).items()
    }


def personal(found: Comparison) -> list[dict[str, Any]]:
    """A row for each size of the personal vector, blended and alone; differences are from the shared encoder."""
    shared = found.blends[0].ranks
    return [
        {
            "bytes": blend.bytes, "weight": blend.weight, "confidence": blend.confidence, "ridge": blend.ridge,
            "ndcg": _interval(gains(blend.ranks)), "hr": _interval(hits(blend.ranks)),
            **({"ndcg_minus_shared": _difference(blend.ranks, shared)} if blend.size else {}),
        }
        for blend in found.blends
    ]  # fmt: skip


def _figures(entry: Entry, cold: np.ndarray) -> dict[str, Any]:
    ndcg, hr = gains(entry.ranks), hits(entry.ranks)
    return {
        "setting": entry.chosen,
        "validation_ndcg": entry.tried,
        "ndcg": _interval(ndcg),
        "ndcg_by_seed": ndcg.mean(1).tolist(),
        "hr": _interval(hr),
        "ndcg_warm": _interval(ndcg[:, ~cold]),
        "ndcg_cold": _interval(ndcg[:, cold]) if cold.any() else None,
        "hr_warm": _interval(hr[:, ~cold]),
        "hr_cold": _interval(hr[:, cold]) if cold.any() else None,
        "median_rank_cold": float(np.median(entry.ranks[:, cold])) if cold.any() else None,
        "seconds": entry.seconds,
    }


def _interval(figures: np.ndarray) -> list[float]:
    """Mean, and the ends of the 95% interval over seeds and users, of (S, U) figures."""
    low, high, _ = resampled(figures)
    return [float(figures.mean()), low, high]


def _difference(mine: np.ndarray, theirs: np.ndarray) -> list[float]:
    """Mean difference of NDCG@10 user by user, its 95% interval, and p; seeds are paired where both have them."""
    difference = gains(mine) - (gains(theirs) if len(theirs) == len(mine) else gains(theirs).mean(0))
    low, high, p = resampled(difference)
    return [float(difference.mean()), low, high, p]


def markdown(results: dict[str, Any]) -> str:
    """Three tables, each followed by what its figures are."""
    cold, best = results["cold"], results["best_baseline"]
    lines = [
        "# Recommending the next film", "",
        f"{results['users']} users, {results['films']} films, seeds {', '.join(map(str, results['seeds']))}, commit "
        f"{results['commit']}, `{results['command']}`.", "",
        "| recommender | NDCG@10 | HR@10 | NDCG@10 warm | HR@10 cold | median rank cold | "
        f"NDCG@10 less {best} | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, row in results["recommenders"].items():
        parts = [name, *(_shown(row[figure]) for figure in ("ndcg", "hr", "ndcg_warm", "hr_cold"))]
        rank = "" if row["median_rank_cold"] is None else f"{row['median_rank_cold']:.0f}"
        parts += [rank, _less(row.get("ndcg_minus_best")), f"{row['seconds']:.1f}"]
        lines.append(f"| {' | '.join(parts)} |")
    lines += [
        "",
        "Mean (95% interval over users and seeds) on each user's last film, among all films that they had not seen. "
        f"A film is cold below {cold['below']} training users; {cold['users']} users' last film is. {best} is the best "
        "baseline on the validation films; p is of the difference user by user. Seconds are of one training.", "",
        "## General and personal", "",
        "| bytes a user | weight of the personal vector | NDCG@10 | HR@10 | NDCG@10 less the shared encoder's |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in results["personal"]:
        difference = _less(row.get("ndcg_minus_shared"))
        parts = [str(row["bytes"]), str(row["weight"]), _shown(row["ndcg"]), _shown(row["hr"]), difference]
        lines.append(f"| {' | '.join(parts)} |")
    lines += [
        "", "Weight 0 is the shared encoder, 1 the vector alone; other weights, the confidence and the ridge are "
        "chosen on the validation films.", "", "## Ratings", "",
        "| foretold by | root mean squared error, stars, by seed |", "|---|---|",
    ]  # fmt: skip
    lines += [f"| {name} | {', '.join(f'{e:.3f}' for e in found)} |" for name, found in results["rating_rmse"].items()]
    lines += [
        "",
        "## Settings",
        "",
        "| recommender | chosen | NDCG@10 on the validation films of all that were tried |",
        "|---|---|---|",
    ]
    for name, row in results["recommenders"].items():
        tried = ", ".join(f"{figure:.4f}" for figure in row["validation_ndcg"].values())
        lines.append(f"| {name} | {row['setting']} | {tried} |")
    return "\n".join([*lines, ""])


def _shown(figures: list[float] | None) -> str:
    return "" if figures is None else f"{figures[0]:.4f} ({figures[1]:.4f} to {figures[2]:.4f})"


def _less(figures: list[float] | None) -> str:
    return "" if figures is None else f"{_shown(figures[:3])}, p = {figures[3]:.2g}"
