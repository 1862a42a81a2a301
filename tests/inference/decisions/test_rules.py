"""Rules against trying every threshold and every decision."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import f1_score

from research.inference.decisions.rules import Confidence, Costs, Thresholds


@pytest.fixture
def two() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (300, 2) of a rare second class, and labels that follow them."""
    rng = np.random.default_rng(0)
    second = rng.beta(1, 5, 300)
    return np.column_stack([1 - second, second]), (rng.random(300) < second).astype(int)


@pytest.fixture
def four() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([3, 1, 0.5, 0.3], 200)
    return probabilities, np.array([rng.choice(4, p=row) for row in probabilities])


def macro(labels: np.ndarray, said: np.ndarray) -> float:
    return float(f1_score(labels, said, average="macro", zero_division=0))


def test_of_two_classes_no_threshold_has_a_larger_f1(two) -> None:
    probabilities, labels = two
    fitted = Thresholds.fit(probabilities, labels)
    best = max(macro(labels, (probabilities[:, 1] > t).astype(int)) for t in [0, *probabilities[:, 1]])
    assert macro(labels, fitted(probabilities)) == pytest.approx(best)
    assert best > macro(labels, probabilities.argmax(1)) + 0.05
    assert fitted.values.sum() == pytest.approx(1)
    assert (fitted(probabilities) == (probabilities[:, 1] > fitted.values[1])).all()


def test_of_more_classes_no_single_threshold_gains(four) -> None:
    probabilities, labels = four
    fitted = Thresholds.fit(probabilities, labels, rounds=50)
    reached = macro(labels, fitted(probabilities))
    assert reached > macro(labels, probabilities.argmax(1)) + 0.02
    for c, factor in itertools.product(range(4), np.geomspace(0.02, 50, 300)):
        moved = fitted.values.copy()
        moved[c] *= factor
        assert macro(labels, Thresholds(moved)(probabilities)) <= reached + 1e-9


def test_thresholds_that_gain_nothing_stay_equal() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]] * 5)
    assert Thresholds.fit(probabilities, np.array([0, 1] * 5)).values.tolist() == [0.5, 0.5]


def test_equal_probabilities_are_not_parted() -> None:
    probabilities = np.array([[0.6, 0.4]] * 6)
    labels = np.array([0, 0, 0, 0, 1, 1])
    said = Thresholds.fit(probabilities, labels)(probabilities)
    assert len(set(said.tolist())) == 1


def test_the_decision_has_the_least_expected_cost(four) -> None:
    probabilities, _ = four
    given = {"wrong": 2, "abstain": 0.7, "of": {"a": {"b": 5, "c": 0.1}, "d": {"a": 20}}}
    said = Costs.described(given, ("a", "b", "c", "d"))(probabilities)

    def price(right: int, decision: int) -> float:
        if decision == -1:
            return 0.7
        special = {(0, 1): 5, (0, 2): 0.1, (3, 0): 20}
        return 0.0 if right == decision else special.get((right, decision), 2)

    for row, decision in zip(probabilities, said, strict=True):
        of = {d: sum(p * price(c, d) for c, p in enumerate(row)) for d in (-1, 0, 1, 2, 3)}
        assert of[int(decision)] == pytest.approx(min(of.values()))
    assert len(set(said.tolist())) >= 3 and -1 in said


def test_of_two_classes_costs_are_a_threshold_that_no_other_beats(two) -> None:
    probabilities, _ = two
    costs = Costs.described({"of": {"no": {"yes": 1}, "yes": {"no": 4}}}, ("no", "yes"))
    said = costs(probabilities)
    assert (said == (probabilities[:, 1] > 1 / 5)).all()

    def paid(decided: np.ndarray) -> float:
        """By the probabilities themselves, so that no luck of labels is in it."""
        return float(np.where(decided == 1, probabilities[:, 0] * 1, probabilities[:, 1] * 4).sum())

    every = [paid((probabilities[:, 1] > t).astype(int)) for t in [0, *probabilities[:, 1]]]
    assert paid(said) == pytest.approx(min(every))


def test_what_was_paid_by_hand() -> None:
    costs = Costs.described({"wrong": 2, "abstain": 0.5, "of": {"a": {"b": 7}}}, ("a", "b"))
    assert costs.paid(np.array([0, 0, 1, 1]), np.array([0, 1, 0, -1])) == pytest.approx((0 + 7 + 2 + 0.5) / 4)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"wrongly": 1}, "no key wrongly; there are wrong, abstain and of"),
        ({"wrong": -1}, "wrong is -1; a cost is a number of at least 0"),
        ({"abstain": True}, "abstain is True"),
        ({"of": {"a": {"z": 1}}}, "of: no label 'z'; there are a, b"),
        ({"of": {"a": {"b": float("nan")}}}, r"of.a.b is nan"),
    ],
)
def test_costs_that_are_none(given, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Costs.described(given, ("a", "b"))


@pytest.mark.parametrize("risk", [0.05, 0.2, 0.4, 0.9])
def test_no_other_confidence_answers_more_within_the_risk(four, risk: float) -> None:
    probabilities, labels = four
    probabilities = probabilities.round(2)  # many are equal
    said = Confidence.fit(probabilities, labels, risk)(probabilities)
    answered = said >= 0
    if answered.any():
        assert (said != labels)[answered].mean() <= risk
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    allowed = [(sure >= t).sum() for t in np.unique(sure) if (~right)[sure >= t].mean() <= risk]
    assert answered.sum() == max(allowed, default=0)
