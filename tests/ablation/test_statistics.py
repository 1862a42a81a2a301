"""Each statistic against scipy, a case worked out by hand, or the draws it stands for; and under the null."""

import math

import numpy as np
import pytest
from scipy import stats

from research.ablation.reporting.statistics import (
    effect_size,
    holm,
    interval,
    least_p,
    resampled,
    seeds_needed,
    sign_flips,
)


def test_interval_by_hand() -> None:
    of = interval([0.5, 0.25])
    assert (of.n, of.mean) == (2, 0.375)
    assert of.deviation == pytest.approx(0.1767767), "√(2 · 0.125²)"
    assert of.half == pytest.approx(12.706205 * 0.125), "t(0.975, 1) times s / √2"
    values = np.random.default_rng(0).normal(size=7)
    of = interval(values)
    assert (of.low, of.high) == pytest.approx(stats.t.interval(0.95, 6, values.mean(), stats.sem(values)))
    assert interval([0.5]).half is None


def test_resampled_is_what_draws_come_to() -> None:
    rng = np.random.default_rng(0)
    difference = rng.normal(size=(4, 30)) + rng.normal(size=(4, 1)) + rng.normal(size=30)
    draws = [difference[rng.integers(4, size=3)][:, rng.integers(30, size=30)].mean() for _ in range(8000)]
    low, high, p = resampled(difference)
    by_seed, by_example = difference.mean(1).var() / 3, difference.mean(0).var() / 30
    degrees = (by_seed + by_example) ** 2 / (by_seed**2 / 3 + by_example**2 / 29)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, degrees) * np.std(draws), rel=0.03)
    assert p == pytest.approx(2 * stats.t.sf(abs(difference.mean()) / np.std(draws), degrees), rel=0.05)


def test_resampled_is_the_paired_t_test_where_seeds_alone_differ() -> None:
    of_seeds = np.array([0.1, 0.3, 0.2, -0.1])
    low, high, p = resampled(np.repeat(of_seeds[:, None], 100, axis=1))
    tested = stats.ttest_1samp(of_seeds, 0)
    assert p == pytest.approx(tested.pvalue)
    assert (low, high) == pytest.approx(tuple(tested.confidence_interval()))


def test_resampled_is_the_test_of_a_mean_for_one_seed() -> None:
    difference = np.random.default_rng(1).choice([-1, 0, 1], p=[0.08, 0.8, 0.12], size=(1, 900))
    assert resampled(difference)[2] == pytest.approx(stats.ttest_1samp(difference[0], 0).pvalue, rel=0.01)


def test_resampled_is_certain_of_equal_differences() -> None:
    assert resampled(np.full((3, 50), 0.25)) == (0.25, 0.25, 0.25)
    assert resampled(np.ones((1, 3))) == (1.0, 1.0, 1.0)  # one seed, three texts: nobody can say
    assert resampled(np.zeros((3, 50))) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("of_seeds", "of_examples", "of_answers"), [(0.2, 0, 0.1), (0, 0.5, 0.1), (0.03, 0.1, 0.4)])
def test_resampled_raises_no_more_false_alarms_than_it_says(
    seeds: int, of_seeds: float, of_examples: float, of_answers: float
) -> None:
    """Percentiles of draws would raise 25% and 15% of them where the three or five seeds decide."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(600):
        difference = rng.normal(0, of_answers, (seeds, 100)) + rng.normal(0, of_examples, 100)
        alarms += resampled(difference + rng.normal(0, of_seeds, (seeds, 1)))[2] < 0.05
    assert alarms / 600 < 0.077, "0.05 and three of its standard errors"
    if of_answers < 0.4:
        assert alarms / 600 > 0.03, "and it does not keep silent, but where luck is of single answers"


def test_resampled_finds_a_difference() -> None:
    rng = np.random.default_rng(0)
    assert (
        sum(resampled(rng.normal(0.1, 0.4, (5, 200)) + rng.normal(0, 0.03, (5, 1)))[2] < 0.05 for _ in range(50)) > 40
    )


def test_sign_flips_by_hand() -> None:
    assert sign_flips([1, 2, 3]) == pytest.approx(2 / 8), "only all + and all - are as far from 0"
    assert sign_flips([3, 2, -1]) == pytest.approx(4 / 8), "so are + + - and + + + and their opposites"
    assert sign_flips([0.1] * 5) == pytest.approx(least_p(5)) == pytest.approx(0.0625)
    assert sign_flips([0, 0, 0]) == sign_flips([0.5]) == least_p(1) == 1


def test_sign_flips_are_uniform_under_the_null() -> None:
    rng = np.random.default_rng(0)
    p = np.array([sign_flips(rng.normal(size=6)) for _ in range(200)])
    for level in (0.125, 0.25, 0.5):  # of the 32 values that six seeds can give
        assert (p <= level + 1e-9).mean() == pytest.approx(level, abs=3 * math.sqrt(level * (1 - level) / 200))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03], [0, 0, 0]) == pytest.approx([0.03, 0.06, 0.06]), "3 · 0.01, 2 · 0.03, not below it"
    assert holm([], []) == []


def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).uniform(0, 0.2, 9)
    assert holm(p, np.zeros(9)) == pytest.approx(multipletests(p, method="holm")[1])


def test_what_cannot_be_significant_does_not_count_in_the_correction() -> None:
    """Tarone's case by hand: three seeds give no p below 0.25, so they take nothing from a p of 0.02."""
    p, least = [0.25, 0.02, 0.75, 0.04], [0.25, 0, 0.25, 0.03125]
    assert holm(p, least) == pytest.approx([0.5, 0.02, 0.75, 0.04])
    assert holm(p, [0] * 4) == pytest.approx([0.5, 0.08, 0.75, 0.12])


def test_holm_raises_few_false_alarms_and_finds_more_where_seeds_are_few() -> None:
    """Nothing differs in five comparisons of two to nine seeds; in a sixth, of nine, something does."""
    rng, seeds = np.random.default_rng(0), [2, 3, 6, 7, 9]
    alarms, found, plain = 0, 0, 0
    for _ in range(500):
        p = [sign_flips(rng.normal(size=n)) for n in seeds]
        alarms += min(holm(p, [least_p(n) for n in seeds])) < 0.05
        p.append(sign_flips(rng.normal(1.2, 1, 9)))
        found += holm(p, [least_p(n) for n in [*seeds, 9]])[-1] < 0.05
        plain += holm(p, [0] * 6)[-1] < 0.05
    assert alarms / 500 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)
    assert found > plain + 30


def test_effect_size_by_hand() -> None:
    k = 4
    gamma = math.gamma(k / 2) / (math.sqrt(k / 2) * math.gamma((k - 1) / 2))
    assert effect_size([1, 2, 3, 4, 5]) == pytest.approx(gamma * 3 / math.sqrt(2.5))
    assert gamma == pytest.approx(1 - 3 / (4 * k - 1), abs=0.003), "the usual approximation"
    assert effect_size([1, 2]) is None and effect_size([1, 1, 1]) is None


def test_effect_size_has_no_bias() -> None:
    rng = np.random.default_rng(0)
    sizes = [effect_size(one) for one in rng.normal(0.8, 1, (4000, 5))]
    assert np.mean(sizes) == pytest.approx(0.8, abs=0.03), "0.8 / 0.798 = 1.00 without the correction"


def test_seeds_needed_of_the_tables() -> None:
    """Cohen 1988 and G*Power: 80% power at 5%, two-sided, paired."""
    assert [seeds_needed(size) for size in (0.2, 0.5, 0.8, -0.8)] == [199, 34, 15, 15]
    assert seeds_needed(0) == math.inf
    assert seeds_needed(6) == seeds_needed(1e9) == 3
    for size in (0.3, 1.2, 3.0):
        n = int(seeds_needed(size))
        assert power(size, n) >= 0.8 > power(size, n - 1)


def power(size: float, n: int) -> float:
    """Of the paired t-test, by the noncentral t distribution."""
    edge = stats.t.ppf(0.975, n - 1)
    return float(stats.nct.sf(edge, n - 1, size * math.sqrt(n)) + stats.nct.cdf(-edge, n - 1, size * math.sqrt(n)))
