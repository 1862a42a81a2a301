"""Calibration against scikit-learn's, and probabilities that come true."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from torchmetrics.functional.classification import multiclass_calibration_error

from research.inference.decisions.calibration import Isotonic, Temperature, softmax


class Known(ClassifierMixin, BaseEstimator):
    """A classifier of scikit-learn whose inputs are its logits."""

    def fit(self, inputs: np.ndarray, labels: np.ndarray) -> "Known":
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        return torch.from_numpy(inputs).softmax(-1).numpy()

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return inputs.argmax(1)


@pytest.fixture
def sure() -> tuple[np.ndarray, np.ndarray]:
    """Logits of four classes three times as sure as the truth, (800, 4), and labels drawn from that truth."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(800, 4)) * 1.5
    labels = np.array([rng.choice(4, p=row) for row in softmax(true)])
    return 3 * true, labels


def error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(multiclass_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), 4, 15))


def test_the_temperature_is_that_of_the_truth_and_of_scikit_learn(sure) -> None:
    logits, labels = sure
    fitted = Temperature.fit(logits, labels)
    assert 2.6 < fitted.value < 3.4
    model = FrozenEstimator(Known().fit(logits, labels))  # whose logarithms are its logits
    peer = CalibratedClassifierCV(model, method="temperature").fit(logits, labels)
    np.testing.assert_allclose(fitted(logits), peer.predict_proba(logits), atol=2e-3)


def test_isotonic_is_that_of_scikit_learn(sure) -> None:
    logits, labels = sure
    fitted = Isotonic.fit(logits[:400], labels[:400])
    model = FrozenEstimator(Known().fit(logits, labels))
    peer = CalibratedClassifierCV(model, method="isotonic").fit(logits[:400], labels[:400])
    np.testing.assert_allclose(fitted(logits), peer.predict_proba(logits), atol=1e-9)


@pytest.mark.parametrize("kind", [Temperature, Isotonic])
def test_the_calibration_error_of_other_examples_falls(kind, sure) -> None:
    logits, labels = sure
    fitted = kind.fit(logits[:400], labels[:400])
    before, after = error(softmax(logits[400:]), labels[400:]), error(fitted(logits[400:]), labels[400:])
    assert before > 0.15 and after < before / 2
    np.testing.assert_allclose(fitted(logits).sum(1), 1)


def test_a_temperature_leaves_the_order(sure) -> None:
    logits, labels = sure
    assert (Temperature.fit(logits, labels)(logits).argmax(1) == logits.argmax(1)).all()


def test_a_class_that_no_example_has_keeps_its_softmax() -> None:
    logits = np.random.default_rng(1).normal(size=(60, 3))
    fitted = Isotonic.fit(logits, np.arange(60) % 2)
    assert fitted.inputs[2] == fitted.outputs[2] == [0, 1]
    assert fitted(np.array([[-50.0, -50.0, 50.0]]))[0, 2] > 0.5


def test_a_text_that_no_class_claims_has_equal_probabilities() -> None:
    fitted = Isotonic([[0.0, 1.0]] * 4, [[0.0, 0.0]] * 4)
    np.testing.assert_allclose(fitted(np.zeros((2, 4))), 0.25)
