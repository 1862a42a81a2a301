"""Logs as they are found: of runs that are trained now, were killed, went back, or stand beside others."""

from pathlib import Path

import pytest

from research.errors import UserError
from research.evaluation.report import COLUMNS, figures_of, go_on, tables, titles
from research.evaluation.rows import rows_of
from research.evaluation.run_log import RunLog

CONFIG = """
model:
  objectives: {mlm: {init_args: {stream: wiki}}, l2sp: {class_path: research.objectives.L2SP}}
data: {}
trainer: {max_steps: -1, max_epochs: 3, accumulate_grad_batches: 2}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "metrics.csv").write_text("step,loss,loss/mlm,validation/mlm/loss\n1,3,3,\n2,2,,\n2,,,2.5\n3,1,1,\n4,0")
    return tmp_path


def test_a_log_that_is_being_written(run: Path) -> None:
    log = RunLog.read(run)
    assert (log.steps, log.end) == (3, "not finished: step 3")
    assert [part.tolist() for part in log.curves["loss"]] == [[1, 2, 3], [3, 2, 1]]
    assert [part.tolist() for part in log.curves["validation/mlm/loss"]] == [[2], [2.5]]
    assert log.objectives == {"mlm": "wiki", "l2sp": ""}
    assert {name: values.tolist() for name, (_, values) in log.came().items()} == {"wiki": [1, 0, 1]}
    assert figures_of(log) == {"steps": 3}
    assert go_on(log) == f"python -m research.cli fit --config {run}/config.yaml"


def test_one_that_goes_on_after_its_end_has_not_finished(run: Path) -> None:
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "last.ckpt").touch()
    (run / "fit.json").write_text('{"steps": 2, "seconds": 9.5, "peak_memory_gb": 1}')
    log = RunLog.read(run)
    assert log.end == "finished" and figures_of(log)["training seconds"] == 9.5
    assert go_on(log).endswith(f" --ckpt_path {run}/checkpoints/last.ckpt --trainer.max_epochs 6")
    with (run / "metrics.csv").open("a") as file:
        file.write(".5,1,\n5,0.5,1,\n")
    assert RunLog.read(run).end == "not finished: step 5" and "max_epochs" not in go_on(RunLog.read(run))


def test_steps_that_were_trained_again_count_once(tmp_path: Path) -> None:
    again = "step,loss,accuracy\n1,1,\n2,2,\n3,3,\n3,,0.5\n4,4,\n2,20,\n3,30,\n3,,0.6\n3,31,\n"
    (tmp_path / "metrics.csv").write_text(again)
    rows = [(row["step"], row["loss"] or row["accuracy"]) for row in rows_of(tmp_path / "metrics.csv")]
    assert rows == [("1", "1"), ("2", "20"), ("3", "31")]


def test_what_is_no_run_is_refused(run: Path) -> None:
    (run / "metrics.csv").write_text("step,loss\n1,")
    with pytest.raises(UserError, match="no whole row yet"):
        RunLog.read(run)
    (run / "metrics.csv").unlink()
    with pytest.raises(UserError, match="no step is logged yet"):
        RunLog.read(run)
    (run / "config.yaml").unlink()
    with pytest.raises(UserError, match="not the folder of a run"):
        RunLog.read(run)


def test_many_runs_keep_within_the_terminal(tmp_path: Path) -> None:
    runs = [tmp_path / "a" / "same", tmp_path / "b" / "same", tmp_path / "other", tmp_path / "other"]
    assert list(titles(runs).values()) == [str(runs[0]), str(runs[1]), "other"]
    text = tables({f"a_run_of_some_length_{i}": {"accuracy": i / 7, "steps": 9.0} for i in range(7)})
    assert text.count("accuracy") == 3 and max(map(len, text.splitlines())) <= COLUMNS
    assert all(f"a_run_of_some_length_{i}" in text for i in range(7))
    text = tables({"run" * 40: {"forgetting/" * 9: 0.5}, "other" * 20: {"forgetting/" * 9: 0.25}})
    assert text.count("forgetting") > 1 and max(map(len, text.splitlines())) <= COLUMNS
