"""Plots of a run's log."""

from pathlib import Path

from research.evaluation.curves import curves_of, draw_losses, draw_mixture


def test_curves_leave_out_steps_without_a_figure(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("step,loss,probability/a,probability/b\n1,3,0.25,0.75\n2,2,,\n3,2,0.5,0.5\n")
    curves = curves_of(metrics, "probability/")
    assert {name: (steps.tolist(), values.tolist()) for name, (steps, values) in curves.items()} == {
        "a": ([1, 3], [0.25, 0.5]),
        "b": ([1, 3], [0.75, 0.5]),
    }
    draw_mixture(curves, tmp_path / "mixture.png", "a run")
    assert (tmp_path / "mixture.png").read_bytes().startswith(b"\x89PNG")
    draw_losses(metrics, tmp_path / "loss_curves.png")
    assert (tmp_path / "loss_curves.png").read_bytes().startswith(b"\x89PNG")
