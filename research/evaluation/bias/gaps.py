"""How far answers to texts depend on the group that they name."""

from collections.abc import Callable, Iterable

import numpy as np

from research.errors import UserError


def group_gaps(probabilities: tuple[np.ndarray, np.ndarray], classes: np.ndarray) -> dict[str, float]:
    """Gaps between N texts in the words of one group and the same texts in those of another.

    ``demographic_parity``: the largest difference, over classes, of the share of texts that are given the class.
    ``equalised_odds``: the same, among texts of the class or among those not of it, whichever differs more (Hardt et
    al. 2016, arXiv:1610.02413); both by Fairlearn. ``flips``: the share of texts whose answer changes with the group.
    ``shift``: the mean of half the sum over classes of ``|p - p'|``. All lie in [0, 1] and are 0 where the group
    decides nothing. ``accuracy`` is that of all 2N.

    Args:
        probabilities: (N, C) each.
        classes: (N,) int, the right ones.

    Raises:
        UserError: without the extra ``fairness``.
    """
    try:
        from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
    except ImportError:
        raise UserError("gaps between groups need Fairlearn: pip install '.[fairness]'") from None
    first, second = (each.argmax(1) for each in probabilities)
    answers, right = np.concatenate([first, second]), np.concatenate([classes, classes])
    groups = np.repeat([0, 1], len(classes))

    def widest(difference: Callable[..., float], among: Iterable[int]) -> float:
        pairs = (((right == c).astype(int), (answers == c).astype(int)) for c in among)
        return max((float(difference(*pair, sensitive_features=groups)) for pair in pairs), default=0.0)

    known = range(probabilities[0].shape[1])
    return {
        "demographic_parity": widest(demographic_parity_difference, known),
        "equalised_odds": widest(equalized_odds_difference, (c for c in known if 0 < (right == c).mean() < 1)),
        "flips": float((first != second).mean()),
        "shift": float(np.abs(probabilities[0] - probabilities[1]).sum(1).mean() / 2),
        "accuracy": float((answers == right).mean()),
    }
