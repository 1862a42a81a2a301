"""Doubtful labels first, then what is hard or ambiguous of the others."""

import json
from pathlib import Path

from research.evaluation.errors.cartography import cartography_sections


def test_sections(tmp_path: Path) -> None:
    figures = [(-2.0, 0.1, 0.02), (1.0, 0.4, 0.1), (3.0, 0.9, 0.05), (0.5, 0.6, 0.3), (-4.0, 0.2, 0.1)]
    rows = [
        {"where": f"f:{i}", "label": "a", "guess": "b" if margin < 0 else "a", "seen": 4, "margin": margin}
        | {"confidence": confidence, "variability": variability, "correctness": float(margin > 0)}
        for i, (margin, confidence, variability) in enumerate(figures)
    ]
    path = tmp_path / "dynamics.task.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    doubt, hard, torn = cartography_sections(path, {f"f:{i}": f"text {i}" for i in range(5)}, most=2)
    assert [shown.text for shown in doubt.examples] == ["text 4", "text 0"]
    assert doubt.note.startswith("2 of 5 training examples")
    assert doubt.examples[0].caption.startswith("a, but looks like b: margin -4.00, confidence 0.20 ± 0.10, 4 times")
    assert [shown.text for shown in hard.examples] == ["text 1", "text 3"]
    assert [shown.text for shown in torn.examples] == ["text 3", "text 1"]
    assert doubt.picture is not None and "<svg" in doubt.picture.svg
