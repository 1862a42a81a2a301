"""What the benchmark counts and tells."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

FOLDER = Path(__file__).parents[2] / "experiments" / "speed"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``script("step")`` is the folder's step.py, as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_each_part_has_a_script_and_a_line_in_the_readme(script: Any) -> None:
    readme = (FOLDER / "README.md").read_text()
    for part in script("run").PARTS:
        assert (FOLDER / f"{part}.py").exists()
        assert f"| `{part}` |" in readme


def test_flops_of_products_and_of_attention_on_the_cpu_are_counted(script: Any) -> None:
    rows, length, width = 3, 16, 8
    x = torch.randn(rows * length, width, requires_grad=True)
    weight = torch.randn(width, width, requires_grad=True)
    with script("counts").flop_counter() as counted:
        (x @ weight).sum().backward()
    product = 2 * rows * length * width * width
    assert counted.get_total_flops() == 3 * product
    q = torch.randn(rows, 2, length, width, requires_grad=True)
    with script("counts").flop_counter() as counted:
        out = F.scaled_dot_product_attention(q, q, q)
    forward = 2 * 2 * rows * 2 * length * length * width
    assert counted.get_total_flops() == forward
    with script("counts").flop_counter() as counted:
        out.sum().backward()
    assert counted.get_total_flops() == 2.5 * forward  # the scores are computed anew


def turns(speeds: list[float], memory: float) -> list[dict[str, float]]:
    return [{"tokens per second": s, "peak memory (GB)": memory, "FLOP per token": 1e9} for s in speeds]


def test_goals_are_told_reached_or_not_by_the_median_of_the_ratios(script: Any) -> None:
    step = script("step")
    measured = {
        "matrix peaks (GFLOP/s)": [200.0, 100.0, 100.0],
        "runs": {
            step.LIVE: turns([100.0, 90.0, 60.0], 3.0),
            step.CACHED: turns([150.0, 120.0, 90.0], 3.0),
            step.TRAINER: turns([50.0, 40.0, 20.0], 8.0),
            step.MASKED: turns([60.0, 50.0, 40.0], 7.0),
        },
    }
    found = step.against_goals("float32", measured)
    assert found["times the Trainer's tokens a second"] == ([2.0, 2.25, 3.0], 2.2, True)
    assert found["the same, cached teacher"] == ([3.0, 3.0, 4.5], 3.0, True)
    assert found["share of the matrix peak"] == ([0.5, 0.9, 0.6], 0.8, False)
    assert found["share of the Trainer's peak memory"] == ([0.375] * 3, 0.4, True)
    about = {"cpu": "a", "cores": 2, "instructions": "b", "matrix peak (GFLOP/s)": {"float32": 200}, "torch": "c",
             "load average before": 0.1}  # fmt: skip
    results = {"machine": about, "command": "x", "commit": "y", "repeats": 3, "precisions": {"float32": measured}}
    lines = step.report(results)
    assert "| times the Trainer's tokens a second, float32 | 2.25 (2 to 3) | 2.2 | yes |" in lines
    assert "| share of the matrix peak, float32 | 0.6 (0.5 to 0.9) | 0.8 | no |" in lines


def test_ratios_are_plotted_with_their_goals(script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    common = script("common")
    monkeypatch.setattr(common, "HERE", tmp_path)
    common.plot_ratios("ratios", {"a": [1.0, 2.0, 3.0], "b": [0.5, 0.5]}, "times", {"a": 2.5})
    assert (tmp_path / "ratios.png").stat().st_size > 1000
