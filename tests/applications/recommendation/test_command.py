"""The whole comparison on a small cut of MovieLens, as a user starts it."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from research.applications.recommendation import compare
from research.applications.recommendation.__main__ import main


@pytest.fixture(scope="module")
def settings(films: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    out = tmp_path_factory.mktemp("comparison")
    fit = ["--trainer.max_steps", "2", "--trainer.limit_val_batches", "0", "--trainer.enable_progress_bar", "false"]
    folders = ["--data", str(films), "--runs", str(out / "runs"), "--output", str(out)]
    return [*folders, "--seeds", "1", "2", "--run.wandb", "disabled", *fit]


@pytest.fixture(scope="module")
def out(settings: list[str]) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "SASREC", {"width": [16], "layers": [1], "dropout": [0.2], "epochs": [4]})
        patch.setattr(compare, "HYBRID", [[], ["--model.student.init_args.dropout", "0.0"]])
        patch.setattr(compare, "ABLATIONS", {"next": ["--without", "[masked,rating]"]})
        assert main(settings) == 0
        out = Path(settings[settings.index("--output") + 1])
        fits = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/fit.json")}
        assert (
            len(fits) == 5
        )  # two settings with the first seed, the better one with the second, the ablation with both
        first = json.loads((out / "results.json").read_text())
        assert main(settings) == 0
        assert {path: path.stat().st_mtime_ns for path in out.glob("runs/*/fit.json")} == fits
        assert json.loads((out / "results.json").read_text()) == first
    return out


def test_popularity_is_as_worked_out_by_pandas(out: Path, films: Path) -> None:
    table = pd.read_csv(films / "ratings.csv").sort_values(["userId", "timestamp"], kind="stable")
    order = table.groupby("userId").timestamp.nunique() == table.groupby("userId").size()
    results = json.loads((out / "results.json").read_text())
    assert results["users"] == len(order) and results["films"] == 300
    row = results["recommenders"]["popularity"]
    data = compare.read(films)
    counts = table.assign(back=table.groupby("userId").cumcount(ascending=False)).groupby("movieId").size()
    assert row["ndcg_by_seed"] == [row["ndcg"][0]] and counts.sum() == sum(map(len, data.seen))
    ranks = []
    for seen in data.seen:
        left = np.setdiff1d(np.arange(300), seen[:-1])
        told = pd.Series(data.popularity()[left], left).rank(ascending=False, method="average")
        ranks.append(told[seen[-1]])
    assert row["hr"][0] == pytest.approx(np.mean(np.array(ranks) <= 10))


def test_the_table_tells_all(settings: list[str], out: Path) -> None:
    results, text = json.loads((out / "results.json").read_text()), (out / "results.md").read_text()
    names = list(results["recommenders"])
    assert names[0] == "popularity" and names[3:] == ["matrix factorisation", "SASRec", "hybrid", "next"]
    for name, row in results["recommenders"].items():
        assert f"| {name} |" in text
        assert len(row["ndcg_by_seed"]) == (2 if name in names[3:] else 1)
        for figure in ("ndcg", "hr", "ndcg_warm"):
            mean, low, high = row[figure]
            assert low <= mean <= high and 0 <= mean <= 1
    assert results["best_baseline"] in names[:5] and "ndcg_minus_best" in results["recommenders"]["hybrid"]
    assert {row["bytes"] for row in results["personal"]} == {0, 8, 32, 128}
    assert all(0.3 < error < 3 for errors in results["rating_rmse"].values() for error in errors)
    assert results["seeds"] == [1, 2]
    assert results["command"] == f"python -m research.applications.recommendation {shlex.join(settings)}"


def test_a_wrong_folder_ends_in_one_line_and_writes_nothing(
    settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    status = main([*settings, "--data", str(tmp_path), "--output", str(tmp_path / "new")])
    assert status == 2 and not (tmp_path / "new").exists()
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith(f"error: {tmp_path / 'movies.csv'}: cannot be read")
