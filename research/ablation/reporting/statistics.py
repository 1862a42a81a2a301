"""What a difference between two arms is worth, from a few seeds and many examples."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray

SIGNIFICANT, POWER = 0.05, 0.8
FEW = 13  # seeds up to which all their 2^n signs are tried; of more, as many are drawn


@dataclass(frozen=True)
class Interval:
    """A mean of n values, their standard deviation and the 95% interval of the mean; None where one value says none."""

    n: int
    mean: float
    deviation: float | None
    low: float | None
    high: float | None

    @property
    def half(self) -> float | None:
        return None if self.low is None else self.mean - self.low


def interval(values: "Sequence[float] | ndarray") -> Interval:
    """The mean of values and its 95% interval, m ± t(0.975, n-1) s / √n (Student's t)."""
    import numpy as np

    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Interval(1, mean, None, None, None)
    deviation = float(np.std(values, ddof=1))
    half = student(n - 1) * deviation / math.sqrt(n)
    return Interval(n, mean, deviation, mean - half, mean + half)


def student(degrees: float) -> float:
    """The quantile of Student's t that leaves 2.5% above."""
    from scipy.stats import t  # type: ignore[import-untyped]

    return float(t.ppf(0.975, degrees))


def resampled(difference: "ndarray") -> tuple[float, float, float]:
    """The 95% interval of the mean of differences (seeds, examples), and a two-sided p: the bootstrap over both.

    Each draw takes examples and seeds with replacement, independently (Owen 2007, arXiv:0712.1111), and of S seeds
    only S - 1, so that few do not look steadier than they are (McCarthy & Snowden 1985). The spread of all possible
    draws has a closed form, so none is made: with the variances of the seeds' means, of the examples' means and of
    what both leave over,

        v = var(seeds) / (S - 1) + var(examples) / N + var(rest) / ((S - 1) N)

    Percentiles of draws would call 15% of no differences significant where five seeds decide. Student's t is taken
    instead, of the degrees of freedom that Welch and Satterthwaite give the first two terms. The third is counted
    in all three, so the test is careful where luck is of single answers. One seed says nothing of the others: then
    examples alone are drawn. Where nothing varies, p is the least that the seeds' signs can give.
    """
    import numpy as np
    from scipy.stats import t

    (seeds, examples), mean = difference.shape, float(difference.mean())
    by_seed, by_example = difference.mean(1), difference.mean(0)
    rest = difference - by_seed[:, None] - by_example + mean
    of_seeds, of_examples = by_seed.var() / max(seeds - 1, 1), by_example.var() / examples
    error = math.sqrt(of_seeds + of_examples + rest.var() / max(seeds - 1, 1) / examples)
    if error < 1e-12:
        return mean, mean, 1.0 if abs(mean) < 1e-12 else least_p(seeds)
    spread = of_seeds**2 / max(seeds - 1, 1) + of_examples**2 / max(examples - 1, 1)
    degrees = (of_seeds + of_examples) ** 2 / spread if spread else np.inf
    half = student(degrees) * error
    return mean - half, mean + half, float(2 * t.sf(abs(mean) / error, degrees))


def sign_flips(differences: "Sequence[float] | ndarray") -> float:
    """A two-sided p that differences of seeds have the mean 0: all signs are as likely (Fisher 1935).

    It is exact for up to 13 seeds. n seeds give no p below 2^(1-n): see :func:`least_p`.
    """
    import numpy as np
    from scipy.stats import permutation_test

    if len(differences) < 2 or not np.any(differences):
        return 1.0
    tried = permutation_test((np.asarray(differences, dtype=float),), np.mean, permutation_type="samples",
                             vectorized=True, n_resamples=2**FEW, rng=0)  # fmt: skip
    return float(tried.pvalue)


def least_p(seeds: int) -> float:
    """The smallest p that the signs of so many seeds can give."""
    return min(1.0, 2.0 ** (1 - seeds))


def holm(p: Sequence[float], least: Sequence[float]) -> list[float]:
    """The p of a family of comparisons, corrected so that p is the chance of any false alarm among them (Holm 1979).

    A comparison cannot raise an alarm at a p below the ``least`` that it can give, whatever its figures, and does not
    count there (Tarone 1990): from the smallest p on, each is multiplied by the number of those left whose least is
    no larger, and none falls below the one before it. Where every p can be as small as it likes, it is Holm's.
    """
    corrected, before = [1.0] * len(p), 0.0
    left = sorted(range(len(p)), key=lambda i: p[i])
    for place, i in enumerate(left):
        able = sum(least[other] <= p[i] * (1 + 1e-9) for other in left[place:])
        before = corrected[i] = min(1.0, max(before, p[i] * able))
    return corrected


def effect_size(differences: "Sequence[float] | ndarray") -> float | None:
    """Cohen's d_z of paired differences, their mean over their standard deviation, without its bias for few seeds.

    The factor is Γ(k/2) / (√(k/2) Γ((k-1)/2)) for k = n - 1 (Hedges 1981). None for fewer than three seeds, and where
    all differences are the same.
    """
    import numpy as np

    k, deviation = len(differences) - 1, float(np.std(differences, ddof=1)) if len(differences) > 2 else 0.0
    if deviation < 1e-12:
        return None
    factor = math.exp(math.lgamma(k / 2) - math.lgamma((k - 1) / 2)) / math.sqrt(k / 2)
    return factor * float(np.mean(differences)) / deviation


def seeds_needed(effect: float) -> float:
    """How many seeds a paired t-test needs to find a d_z of this size: 80% power at 5%, two-sided; ∞ for none.

    It looks upwards from ((z(0.975) + z(0.8)) / d_z)², which the normal distribution would need. From a d_z of 5 on
    three are enough.
    """
    from scipy.stats import norm
    from statsmodels.stats.power import TTestPower  # type: ignore[import-untyped]

    if not (size := min(abs(effect), 5.0)):  # of far larger ones TTestPower gives no number
        return math.inf
    test, least = TTestPower(), ((norm.isf(SIGNIFICANT / 2) + norm.ppf(POWER)) / size) ** 2
    return next(n for n in itertools.count(max(2, int(least))) if test.power(size, n, SIGNIFICANT) >= POWER)
