"""Which arms are compared, over which seeds and examples, and what comes of it."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from research.ablation.reporting.analysis import Analysis
from research.ablation.results import Results

ACCURACY, STS = "test/ce/accuracy", "test/sts/spearman"
AXES = {"task": ["a", "b"], "objectives": ["all", "-kd"]}


def scored(right: str, places: str = "x") -> dict:
    return {ACCURACY: right.count("1") / len(right), "examples": {ACCURACY: {"places": places, "scores": right}}}


def test_arms_are_compared_with_their_own_tasks_baseline(results_of: Callable[..., Results]) -> None:
    arms = {("a", "all"): [0.5, 0.6, 0.7], ("b", "all"): [0.1, 0.1, 0.1],
            ("a", "-kd"): [0.4, 0.4, 0.6], ("b", "-kd"): [0.3, 0.2, 0.4]}  # fmt: skip
    figures = {arm: [{ACCURACY: value} for value in values] for arm, values in arms.items()}
    analysis = Analysis(results_of(AXES, figures, baseline={"objectives": "all"}))
    made = analysis.comparisons
    assert set(made) == {(("a", "-kd"), ACCURACY), (("b", "-kd"), ACCURACY)}
    first, second = made[("a", "-kd"), ACCURACY], made[("b", "-kd"), ACCURACY]
    assert first.baseline == ("a", "all") and first.difference == pytest.approx(-0.4 / 3)
    assert (first.seeds, first.examples, first.p, first.corrected) == (3, 0, 0.25, 0.5), "all signs, two comparisons"
    assert second.difference == pytest.approx(0.2) and second.better("max") == 0, "three seeds show nothing"
    tested = stats.ttest_rel(arms["b", "-kd"], arms["b", "all"]).confidence_interval()
    assert (second.low, second.high) == pytest.approx(tuple(tested))


@pytest.mark.parametrize("baseline", ["none", "all"])
def test_an_objective_is_added_to_none_and_taken_from_all(baseline: str, results_of: Callable[..., Results]) -> None:
    values = ["all", "-kd", "-nce", "none", "+kd", "+nce"]
    figures = {("a", value): [{ACCURACY: 0.5}] for value in values} | {("b", v): [{ACCURACY: 0.5}] for v in values[:3]}
    axes = {"task": ["a", "b"], "objectives": values}
    analysis = Analysis(results_of(axes, figures, baseline={"objectives": baseline}))
    against = {arm: analysis.baseline(arm) for arm in figures}
    assert against["a", "-kd"] == ("a", "all") and against["a", "+nce"] == ("a", "none")
    assert against["b", "-kd"] == ("b", "all") and against["a", baseline] is None
    assert {against["a", "all"], against["a", "none"]} == {("a", baseline), None}


def test_scores_of_the_same_examples_are_paired(results_of: Callable[..., Results]) -> None:
    rng = np.random.default_rng(0)
    answers = {arm: ["".join(map(str, (rng.random(300) < rate).astype(int))) for _ in range(3)]
               for arm, rate in (("all", 0.9), ("-kd", 0.6), ("+kd", 0.9))}  # fmt: skip
    axes = {"objectives": list(answers)}
    figures = {(arm,): [scored(right) for right in of] for arm, of in answers.items()}
    analysis = Analysis(results_of(axes, figures, baseline={"objectives": "all"}))
    worse, same = analysis.comparisons[("-kd",), ACCURACY], analysis.comparisons[("+kd",), ACCURACY]
    assert (worse.seeds, worse.examples) == (3, 300)
    assert worse.p < 1e-4 and worse.better("max") == -1 and worse.better("min") == 1
    assert worse.corrected == pytest.approx(2 * worse.p), "Holm, the smaller of two"
    assert same.p > 0.05 and same.better("max") == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"examples": {ACCURACY: {"places": "y", "scores": "1110"}}}, "other examples"),
        ({"examples": {"test/few/accuracy": {"places": "x", "scores": "1110"}}}, "scores of another figure"),
        ({"examples": {}}, "none"),
    ],
)
def test_scores_that_cannot_be_paired_are_left(results_of: Callable[..., Results], change: dict, why: str) -> None:
    ours = [scored("1110") | change, scored("0110")]
    figures = {("all",): [scored("1100"), scored("0100")], ("-kd",): ours}
    made = Analysis(results_of({"objectives": ["all", "-kd"]}, figures, baseline={"objectives": "all"})).comparisons
    assert made[("-kd",), ACCURACY].examples == 0, why


def test_only_seeds_of_both_arms_count(results_of: Callable[..., Results]) -> None:
    figures = {("all",): [{ACCURACY: 0.5}, None, {ACCURACY: 0.7}, {ACCURACY: float("nan")}],
               ("-kd",): [{ACCURACY: 0.6}, {ACCURACY: 0.9}, "log", {ACCURACY: 0.1}]}  # fmt: skip
    analysis = Analysis(results_of({"objectives": ["all", "-kd"]}, figures, baseline={"objectives": "all"}))
    made = analysis.comparisons[("-kd",), ACCURACY]
    assert (made.seeds, made.difference, made.p) == (1, pytest.approx(0.1), 1.0)
    assert (made.low, made.effect, made.needed) == (None, None, None)
    assert analysis.failed(("all",), ACCURACY) == 1, "a figure that is not a number"
    assert analysis.failed(("-kd",), ACCURACY) == 1


def test_without_a_baseline_nothing_is_compared(results_of: Callable[..., Results]) -> None:
    figures = {("all",): [{ACCURACY: 0.5}], ("-kd",): [{ACCURACY: 0.6}]}
    assert Analysis(results_of({"objectives": ["all", "-kd"]}, figures)).comparisons == {}
