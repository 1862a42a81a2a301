"""Files of answers of which not all have the same columns."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from research.inference import results
from research.inference.results import Results

SURE: dict[str, Any] = {"label": "a", "name": "A", "probabilities": {"a": 0.9, "b": 0.1}}
UNSURE: dict[str, Any] = {"label": None, "reason": "not sure enough", "probabilities": {"a": 0.5, "b": 0.5}}
WHOLE = {"label", "name", "reason", "probabilities"}


@pytest.mark.parametrize("answers", [[SURE] * 3 + [UNSURE], [UNSURE] * 3 + [SURE], [UNSURE], []])
def test_parquet_keeps_what_any_answer_says(
    answers: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "WINDOW", 2)  # so that the answers come in several parts
    path = tmp_path / "answers.parquet"
    assert Results(path, None, window=2).write(iter(answers)) == len(answers)
    rows = pq.read_table(path).to_pylist()
    expected = {name for answer in answers for name in answer}
    assert rows == [{name: answer.get(name) for name in expected} for answer in answers]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
