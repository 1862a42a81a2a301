"""The example of docs/generation.md does what it says."""

import re
from pathlib import Path
from typing import Any

import pytest

from research.step import Clean

PAGE = Path(__file__).parents[2] / "docs" / "generation.md"


def test_the_example_writes_what_it_asks_for(tiny: Any, texts: list[str], batch_of: Any) -> None:
    pytest.importorskip("llguidance")
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert example is not None
    student = tiny("gpt2", architecture={"n_positions": 160})
    told = {"student": student, "tokens": batch_of(student, texts[:3], [Clean()]).views[Clean()]}
    exec(example[1], told)
    assert all("burger king" in text.lower() and "riverside" in text.lower() for text in told["texts"])
    assert all(value["area"] in ("riverside", "city centre") for value in told["values"])
    runs = [text.lower().split() for text in told["texts"]]
    assert all(len({*zip(run, run[1:], run[2:], run[3:], strict=False)}) == max(len(run) - 3, 0) for run in runs)
