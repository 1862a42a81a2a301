"""What is kept of a run, against files that were written by hand."""

import json

import pytest
import xxhash

from research.ablation.running.record import POINTS, by_figure, curve_of, examples_of, record

ROWS = [{"step": str(n), "loss": str(1 / n), "validation/ce/loss": ""} for n in range(1, 301)]


def test_curves_are_thinned_but_keep_their_ends_and_the_validations():
    rows = [*ROWS, *({"step": str(n), "loss": "", "validation/ce/loss": str(-n)} for n in (100, 200, 300))]
    curve = curve_of(rows)
    assert curve.keys() == {"step", "loss", "validation/ce/loss"}
    assert len(curve["step"]) == POINTS
    assert curve["step"] == sorted({*curve["step"]}) and {1, 100, 200, 299, 300} <= {*curve["step"]}
    measured = {step: value for step, value in zip(curve["step"], curve["validation/ce/loss"], strict=True) if value}
    assert measured == {100: -100.0, 200: -200.0, 300: -300.0}
    assert curve["loss"] == [1 / step for step in curve["step"]]


def test_a_short_curve_is_kept_whole():
    assert curve_of(ROWS[:7])["step"] == [1, 2, 3, 4, 5, 6, 7]
    assert curve_of([]) == {"step": [], "loss": []}


def test_examples_are_right_or_not_in_the_order_of_their_places(tmp_path):
    lines = [
        {"stream": "a", "where": "x:2", "gold": "no", "label": "yes"},
        {"stream": "b", "where": "y:1", "gold": 0.5, "value": 0.4},
        {"stream": "a", "where": "x:1", "gold": "yes", "label": "yes"},
        {"stream": "text", "where": "z:1", "embedding": [1.0]},
    ]
    (tmp_path / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    digest = xxhash.xxh3_64_hexdigest(b"x:1\nx:2")
    assert examples_of(tmp_path / "predictions.jsonl") == {"a": {"places": digest, "scores": "10"}}
    assert examples_of(tmp_path / "none.jsonl") == {}


def test_examples_are_those_of_the_objective_that_predicts_them():
    one, two = {"places": "x", "scores": "10"}, {"places": "y", "scores": "01"}
    metrics = {"test/ce/accuracy": 0.5, "test/few/accuracy": 0.25, "test/other/accuracy": 0.5, "test/ce/mcc": 0.5}
    objectives = {"mlm": "text", "l2": "", "few": "a", "other": "b", "ce": "a", "untested": "a"}
    found = by_figure({"metrics": metrics, "examples": {"a": one, "b": two}}, objectives)
    assert found == {"test/ce/accuracy": one, "test/other/accuracy": two}


def test_a_record_of_a_run_that_was_stopped_once(tmp_path):
    streams = {"a": {"tokens": 70}, "b": {"tokens": 30}}
    fit = {"steps": 40, "seconds": 5.0, "steps_per_second": 2.0, "peak_memory_gb": 1.5, "mixture": streams}
    (tmp_path / "fit.json").write_text(json.dumps(fit))
    (tmp_path / "test.json").write_text(json.dumps({"test/ce/accuracy": 0.5}))
    rows = ["step,loss,validation/ce/loss", "1,3.0,", "1,,2.5", "2,1.0,", "2,,2.0"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n")
    kept = record(tmp_path)
    assert kept["metrics"] == {"test/ce/accuracy": 0.5, "validation/ce/loss": 2.0}
    assert kept["cost"] == {"seconds": 20.0, "steps": 40, "tokens": 100, "peak_memory_gb": 1.5}
    assert kept["curve"] == {"step": [1, 2], "loss": [3.0, 1.0], "validation/ce/loss": [2.5, 2.0]}


def test_a_figure_that_is_measured_now_and_then_keeps_its_last_value(tmp_path):
    fit = {"steps": 90, "seconds": 5.0, "steps_per_second": 2.0, "peak_memory_gb": 1.5, "mixture": {}}
    (tmp_path / "fit.json").write_text(json.dumps(fit))
    rows = [f"{step},{step}.5,{'7.0' if step == 88 else ''}" for step in range(1, 91)]
    (tmp_path / "metrics.csv").write_text("\n".join(["step,validation/a,validation/b", *rows]) + "\n")
    assert record(tmp_path)["metrics"] == {"validation/a": 90.5, "validation/b": 7.0}


def test_a_run_without_a_log_is_no_record(tmp_path):
    with pytest.raises(FileNotFoundError):
        record(tmp_path)
