"""Curves drawn by hand, each wrong in one way, and healthy ones, of which nothing is said."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from research.evaluation.diagnosis import Finding, diagnose
from research.evaluation.run_log import RunLog

STEPS = np.arange(1, 301)
NOISE = np.random.default_rng(0).normal(1, 0.05, (9, 300))
FALLING = 4 * np.exp(-STEPS / 80) + 0.4
Diagnose = Callable[[dict[str, Any]], list[Finding]]


@pytest.fixture
def told(tmp_path: Path) -> Diagnose:
    """What is said of a healthy run of two objectives in which some columns are others."""

    def told(columns: dict[str, Any]) -> list[Finding]:
        every = np.where(STEPS % 20 == 0, 1.0, np.nan)
        healthy = {
            "loss": FALLING,
            "loss/ce": FALLING * NOISE[0],
            "loss/mlm": (3 + FALLING) * NOISE[1],
            "weight/ce": np.ones(300),
            "weight/mlm": np.full(300, 0.3),
            "gradient/ce": every * NOISE[2],
            "gradient/mlm": every * 3 * NOISE[3],
            "cosine/ce/mlm": every * (NOISE[4] - 1),
            "gradient_norm": NOISE[5],
            "validation/ce/loss": every * FALLING,
            "waiting_for_data": 0.05 * NOISE[6],
        }
        columns = {"step": STEPS, **healthy, **columns}
        columns = {name: values for name, values in columns.items() if values is not None}
        with (tmp_path / "metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for row in zip(*columns.values(), strict=True):
                writer.writerow("" if np.isnan(cell) else cell for cell in row)
        streams = {"ce": {"init_args": {"stream": "task"}}, "mlm": {"init_args": {"stream": "text"}}}
        config = {"model": {"objectives": streams}, "data": {}, "trainer": {"max_steps": 300}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        return diagnose(RunLog.read(tmp_path))

    return told


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"loss/mlm": FALLING / 1000, "gradient/mlm": np.where(STEPS % 20 == 0, 1e-9, np.nan) * FALLING},  # learned
        {"loss/mlm": np.minimum(STEPS / 1000, 0.01) * NOISE[7]},  # an anchor starts at 0 and grows
        {"loss/ce": np.where(STEPS % 7, 0.001, 4.0)},  # each seventh batch is a hard one
        {"validation/ce/loss": np.where(STEPS % 20 == 0, FALLING * NOISE[8] ** 0.2, np.nan)},
        {"loss/mlm": 6.4 * NOISE[8] * np.exp(-STEPS / 6000)},  # a slow one: 5% in all the run
        {"gradient_norm": np.where(STEPS < 6, np.inf, 1.0)},  # a gradient scaler begins
    ],
)  # fmt: skip
def test_healthy_runs(told: Diagnose, columns: dict[str, Any]) -> None:
    assert told(columns) == []


EVERY = np.where(STEPS % 20 == 0, 1.0, np.nan)
UNMEASURED = {"gradient/ce": None, "gradient/mlm": None}
SPIKE = np.where((STEPS > 200) & (STEPS < 208), 20.0, 1.0)
BY_HEART = np.where(STEPS % 20 == 0, FALLING + np.maximum(STEPS - 140, 0) / 100, np.nan)


@pytest.mark.parametrize(
    ("columns", "subject", "what", "steps"),
    [
        ({"weight/ce": np.full(300, 100.0)}, "ce", "dominates: 99.0", (20, 160)),
        ({"weight/ce": np.full(300, 1e3), **UNMEASURED}, "ce", "dominates: 99.9", (1, 150)),
        ({"loss/mlm": None, "gradient/mlm": None}, "mlm", "never computed", (1, 300)),
        ({"gradient/mlm": 0 * EVERY}, "mlm", "is dead: its gradient does not reach the backbone", (20, 300)),
        ({"gradient/mlm": 1e-5 * EVERY}, "mlm", "is dead: its gradient has a norm of 1e-05", (20, 300)),
        ({"loss/mlm": 6.4 * NOISE[7] ** 0.05}, "mlm", "has not moved: its loss was 6.4", (1, 300)),
        ({"loss/ce": np.where(STEPS > 100, 50.0, FALLING)}, "ce", "diverges: its loss has risen from", None),
        ({"loss/ce": FALLING * SPIKE}, "ce", "has a spike: its loss went up from", None),
        ({"cosine/ce/mlm": -0.5 * EVERY * NOISE[7]}, "ce and mlm", "pull against each other: their", (20, 300)),
        ({"validation/ce/loss": BY_HEART}, "ce", "is learned by heart: its validation loss has risen", (140, 300)),
        ({"gradient_norm": np.where(STEPS % 5, 1.0, np.inf)}, "the gradient", "is not finite in 20%", (5, 300)),
        ({"waiting_for_data": np.full(300, 0.6)}, "the loader", "keeps the training waiting 60%", (2, 300)),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    told: Diagnose, columns: dict[str, Any], subject: str, what: str, steps: tuple[int, int] | None
) -> None:
    (finding,) = told(columns)
    assert (finding.subject, finding.what[: len(what)]) == (subject, what)
    assert finding.advice and (steps is None or finding.steps == steps)


def kappas(labels: float, student: float) -> dict[str, Any]:
    return {"validation/ce/kappa_labels": EVERY * labels, "validation/ce/kappa_student": EVERY * student}


def test_a_teacher_that_agrees_with_nothing(told: Diagnose) -> None:
    (teacher,) = told(kappas(0.02, -0.01))
    assert teacher.subject == "ce" and teacher.steps == (260, 300)
    assert teacher.what == "its teacher agrees with the labels no more than chance: Cohen's kappa 0.02"
    (student,) = told(kappas(0.8, 0.01))
    assert student.what == "its teacher agrees with the student no more than chance: Cohen's kappa 0.01"
    assert told(kappas(0.4, 0.2)) == []
    learning = {"validation/ce/kappa_student": EVERY * np.where(STEPS > 280, 0.4, 0.0)}
    assert told(learning) == [], "it begins at chance, as every student does"


def test_when_it_happened(told: Diagnose) -> None:
    (spike,) = told({"loss/ce": FALLING * SPIKE})
    assert 198 < spike.steps[0] < spike.steps[1] < 210
    (diverged,) = told({"loss/ce": np.where(STEPS > 100, 50.0, FALLING)})
    assert diverged.steps[0] <= 100 and diverged.steps[1] == 300
