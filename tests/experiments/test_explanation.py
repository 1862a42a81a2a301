"""The tables of explanations by hand."""

import importlib.util
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "experiments" / "explanation"


def summary() -> Any:
    spec = importlib.util.spec_from_file_location("explanation_summary", FOLDER / "summary.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_report_by_hand() -> None:
    def seeds(first: list[float], second: list[float]) -> list[dict[str, Any]]:
        return [{"comprehensiveness": c, "sufficiency": [-x for x in c], "seconds": 0.5} for c in (first, second)]

    made = {"commit": "c", "command": "run", "seeds": [0, 1]}
    words = {
        "good": seeds([0.4, 0.6], [0.6, 0.8]),
        "better": seeds([0.5, 0.7], [0.7, 0.9]),
        "random": seeds([0.1, 0.3], [0.3, 0.5]),
    }
    examples = [{"influence": 0.8, "loss": 0.9}, {"influence": 0.8, "loss": 0.8}]
    text = summary().report({"words": {**made, "figures": words}, "examples": {**made, "figures": examples}})
    assert "| good | 0.600 ± 1.271 | +0.300 to +0.300 (p 0.5)" in text, "t(0.975, 1) is 12.706"
    assert "| better less good | +0.100 to +0.100 (p 0.5) | -0.100 to -0.100 (p 0.5) |" in text
    assert "| random | 0.300 ± 1.271 | - | -0.300 ± 1.271 | - | - |" in text
    assert "| influence | 0.800 ± 0.000 |" in text and "| loss | 0.850 ± 0.635 | +0.050 (-0.585 to +0.685) |" in text
