"""Regression against scikit-learn's and scipy's figures."""

from typing import Any

import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_squared_error

from research.data.stream import StreamInfo
from research.errors import UserError
from research.objectives import Regression
from research.step import Clean

LABELS = [0.3, -1.2, 2.0, 0.0, 0.7, -0.4, 1.1, -2.2]


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_loss_and_figures(name: str, tiny: Any, texts: list[str], batch_of: Any, step_of: Any) -> None:
    student, objective = tiny(name), Regression("s").double()
    objective.build(student, {"s": StreamInfo("regress")})
    student.double().eval()
    labels = torch.tensor(LABELS, dtype=torch.float64)
    with torch.no_grad():
        encoded = student(batch_of(student, texts, [Clean()]).views[Clean()])
        predicted = (student.embedding(encoded) @ student.heads["s"].linear.weight.T).squeeze(1).numpy()
        for rows in (slice(0, 1), slice(1, 6), slice(6, 8)):
            step = step_of(objective, student, batch_of(student, texts[rows], [Clean()], labels[rows]))
            expected = mean_squared_error(labels[rows], predicted[rows])
            assert objective(step).item() == pytest.approx(expected, abs=1e-6)
            objective.measure(step)
    results = objective.results()
    assert results["loss"] == pytest.approx(mean_squared_error(LABELS, predicted), rel=1e-5)
    assert results["pearson"] == pytest.approx(pearsonr(LABELS, predicted).statistic, abs=1e-5)
    assert results["spearman"] == pytest.approx(spearmanr(LABELS, predicted).statistic, abs=1e-6)


def test_classes_are_no_numbers(tiny: Any) -> None:
    with pytest.raises(UserError, match=r"model.objectives.r: Regression reads streams of problem regress"):
        Regression("s").check("r", tiny("bert").family, {"s": StreamInfo("classify", ("a", "b"))}, None)
