"""From logits to probabilities that come true as often as they say, fitted on examples that were not trained on."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Calibration(Protocol):
    """Calibrated probabilities (N, C), whose rows add up to 1, of logits (N, C)."""

    def __call__(self, logits: np.ndarray) -> np.ndarray: ...


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities in float64 of logits, both shaped (examples, labels)."""
    from scipy.special import softmax  # type: ignore[import-untyped]

    return softmax(np.asarray(logits, np.float64), axis=1)


@dataclass(frozen=True)
class Temperature:
    """softmax(logits / T) (Guo et al. 2017, arXiv:1706.04599): the order of the classes stays.

    Args:
        value: T, above 0; 1 leaves the probabilities as they are.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.value < np.inf:
            raise ValueError(f"a temperature is {self.value}; it must be above 0")

    @classmethod
    def fit(cls, logits: np.ndarray, labels: np.ndarray) -> "Temperature":
        """The T in [0.01, 100] of the least negative log-likelihood of labels (N,) under logits (N, C)."""
        from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]
        from scipy.special import log_softmax

        logits = np.asarray(logits, np.float64)

        def loss(log_t: float) -> float:
            return -float(log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(labels)), labels].mean())

        bounds = (np.log(0.01), np.log(100.0))
        return cls(float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)))

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        return softmax(np.asarray(logits) / self.value)


@dataclass(frozen=True)
class Isotonic:
    """A rising step function a class over its softmax, then a sum of 1 (Zadrozny & Elkan 2002); the order may change.

    It has many parameters: a few hundred examples of few classes are the least. A class that the examples do not show
    keeps its softmax, and a text that no class claims has equal probabilities.

    Args:
        inputs: of each class, the softmax values where its function is known, rising.
        outputs: of each class, the function there; linear in between.
    """

    inputs: list[list[float]]
    outputs: list[list[float]]

    @classmethod
    def fit(cls, logits: np.ndarray, labels: np.ndarray) -> "Isotonic":
        """Least squares on labels (N,) and logits (N, C)."""
        from sklearn.isotonic import IsotonicRegression

        inputs, outputs = [], []
        for c, column in enumerate(softmax(logits).T):
            x, y = [0.0, 1.0], [0.0, 1.0]
            if (labels == c).any():
                fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit(column, labels == c)
                x, y = fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist()
            inputs.append(x)
            outputs.append(y)
        return cls(inputs, outputs)

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        functions = zip(softmax(logits).T, self.inputs, self.outputs, strict=True)
        values = np.stack([np.interp(column, x, y) for column, x, y in functions], axis=1)
        sums = values.sum(1, keepdims=True)
        return np.where(sums > 0, values / np.where(sums > 0, sums, 1.0), 1 / values.shape[1])


METHODS: dict[str, type[Temperature] | type[Isotonic]] = {"temperature": Temperature, "isotonic": Isotonic}
