"""Runs of the real program under a study whose earlier trials did better, or worse."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from research.callbacks.csv_log import CSVLog
from research.terminal import run_command

METRIC = "validation/mlm/loss"


@pytest.fixture
def fit(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Eight steps of the tiny run with a validation after every fourth."""
    text = (Path(__file__).parents[1] / "integration" / "tiny.yaml").read_text().replace("SLICES", str(slices))
    (tmp_path / "tiny.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)

    def fit(callback: dict, *more: str) -> int:
        monkeypatch.delenv("HYBRID_RUN_FOLDER", raising=False)
        return run_command(["fit", "--config", "tiny.yaml", "--trainer.max_steps", "8", "--trainer.val_check_interval",
                            "4", "--trainer.callbacks+", json.dumps(callback), *more])  # fmt: skip

    return fit


def study_of(journal: Path, earlier: float) -> optuna.Study:
    """A study that has seen five trials with the same figure after every fourth step, and asked for a sixth."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(study_name="s", storage=storage, direction="minimize")
    for _ in range(5):
        figures = {4: earlier, 8: earlier}
        study.add_trial(optuna.create_trial(value=earlier, intermediate_values=figures))
    study.ask()
    return study


def callback_of(journal: Path, **more: object) -> dict:
    given = {"metric": METRIC, "journal": str(journal), "study": "s", "trial": 5, **more}
    return {"class_path": "research.callbacks.pruning.Pruning", "init_args": given}


def test_run_worse_than_the_median_ends_at_its_first_validation_and_can_go_on(tmp_path: Path, fit: Callable) -> None:
    journal = tmp_path / "journal.log"
    study = study_of(journal, earlier=0.0)
    callback = callback_of(journal)
    assert fit(callback) == 0
    assert json.loads(Path("runs/tiny/fit.json").read_text())["steps"] == 4
    trial = study.trials[5]
    assert list(trial.intermediate_values) == [4] and trial.user_attrs == {"pruned": 4}
    assert trial.state == TrialState.RUNNING  # who asked for the trial tells its end

    given_up = Path("runs/tiny/metrics.csv").read_text()
    never = {"class_path": "optuna.pruners.NopPruner"}
    assert fit(callback_of(journal, pruner=never), "--ckpt_path", "last") == 0
    assert json.loads(Path("runs/tiny/fit.json").read_text())["steps"] == 8
    assert Path("runs/tiny/metrics.csv").read_text().startswith(given_up)
    assert list(study.trials[5].intermediate_values) == [4, 8]


def test_run_better_than_the_median_is_the_run_without_a_study(tmp_path: Path, fit: Callable) -> None:
    journal = tmp_path / "journal.log"
    study = study_of(journal, earlier=100.0)
    assert fit(callback_of(journal)) == 0
    assert fit({"class_path": "research.callbacks.WeightAverage", "init_args": {"decay": 0.0}}, "--run.name", "b") == 0
    clocks = ("tokens_per_second", "peak_memory_gb", "waiting_for_data")
    watched, alone = (CSVLog(Path("runs") / name).rows() for name in ("tiny", "b"))
    for row in (*watched, *alone):
        for clock in clocks:
            row.pop(clock)
    assert watched == alone
    expected = {int(row["step"]): float(row[METRIC]) for row in alone if row[METRIC]}
    assert study.trials[5].intermediate_values == pytest.approx(expected)
    assert study.trials[5].user_attrs == {}


def test_figure_that_is_not_measured_is_refused_with_those_that_are(
    tmp_path: Path, fit: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    study_of(tmp_path / "journal.log", earlier=0.0)
    assert fit(callback_of(tmp_path / "journal.log", metric="validation/ce/f2")) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.startswith("error: search.metric validation/ce/f2: no such figure; there is validation/")
    assert METRIC in line
