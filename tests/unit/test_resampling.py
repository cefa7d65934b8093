"""The draws themselves: the fast way of counting outcomes against the plain one, and the ends against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from speciate.evals.resampling import drawn_sums, quantile, redraw, strata_of, student

DRAWS = 20_000


def test_counting_outcomes_draws_the_same_as_drawing_units() -> None:
    totals = np.repeat([-1.0, 0.0, 1.0], [30, 210, 60])
    sizes = np.ones(300)
    counted = drawn_sums([totals, sizes], np.random.default_rng(2), DRAWS)
    apart = totals + 1e-9 * np.arange(300.0)
    drawn = drawn_sums([apart, sizes], np.random.default_rng(3), DRAWS)
    assert (counted[1] == 300).all()
    assert (drawn[1] == 300).all()
    assert counted[0].var() == pytest.approx(300 * totals.var(), rel=0.04)
    shares = [
        np.bincount(sums.round().astype(int) + 300, minlength=601).cumsum() / DRAWS for sums in (counted[0], drawn[0])
    ]
    assert np.abs(shares[0] - shares[1]).max() < 1.63 * math.sqrt(2 / DRAWS), "Kolmogorov and Smirnov at 1%"
    assert len(np.unique(drawn[0])) > DRAWS / 2, "nothing was drawn unit by unit"


def test_totals_are_drawn_with_their_sizes() -> None:
    for n in (40, 4000):
        totals, sizes = np.repeat([2.0, 12.0], n // 2), np.repeat([1.0, 4.0], n // 2)
        drawn = drawn_sums([totals, sizes], np.random.default_rng(4), 500)
        assert drawn[0] - 2 * n == pytest.approx(10 / 3 * (drawn[1] - n))


def test_large_strata_are_drawn_in_parts_that_all_are_filled() -> None:
    values = np.arange(3000.0)
    sums = drawn_sums([values], np.random.default_rng(5), 1000)[0]
    assert abs(sums.mean() / values.sum() - 1) < 0.003
    assert sums.std() == pytest.approx(math.sqrt(3000) * values.std(), rel=0.1)
    assert len(np.unique(sums)) > 950


def test_a_lone_unit_puts_all_units_into_one_stratum() -> None:
    codes, totals, ones = np.array([0, 1, 1, 0]), np.array([3.0, 1.0, 2.0, 0.0]), np.ones(4)
    apart = strata_of(codes, totals, ones)
    assert [stratum[0].tolist() for stratum in apart] == [[0.0, 3.0], [1.0, 2.0]]
    (together,) = strata_of(np.array([0, 1, 1, 1]), totals, ones)
    assert together[0].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_strata_keep_their_numbers_and_add_their_variances() -> None:
    strata = [(np.array([0.0, 1.0] * 50), np.ones(100)), (np.array([5.0, 9.0] * 10), np.ones(20))]
    redrawn = redraw(strata, 0, DRAWS)
    assert redrawn.estimate == pytest.approx((50 + 140) / 120)
    assert redrawn.variance == pytest.approx((100 * 0.25 + 20 * 4) / 120**2)
    assert redrawn.unbiased == pytest.approx((100 * 0.25 * 100 / 99 + 20 * 4 * 20 / 19) / 120**2)
    assert redrawn.means.var() == pytest.approx(redrawn.variance, rel=0.05)
    assert 19 < redrawn.freedom < 118
    assert redrawn.step == pytest.approx(1 / 120)


@pytest.mark.parametrize("unit", [1e-300, 1e-128, 1e-9, 1e9, 1e150])
def test_the_unit_of_the_totals_does_not_matter(unit: float) -> None:
    totals, sizes = np.sqrt(np.array([0.0, 2.0, 3.0, 7.0])), np.array([1.0, 1.0, 2.0, 3.0])
    plain, scaled = (redraw([(times * totals, sizes)], 0, 500, errors=True) for times in (1.0, unit))
    assert scaled.freedom == pytest.approx(plain.freedom)
    assert scaled.skewness == pytest.approx(plain.skewness)
    if unit > 1e-150:
        assert np.divide(scaled.ends(0.95), unit) == pytest.approx(plain.ends(0.95))
        assert np.divide(scaled.studentised_ends(0.95), unit) == pytest.approx(plain.studentised_ends(0.95))
    else:
        assert scaled.ends(0.95) == (scaled.estimate, scaled.estimate)


def test_one_stratum_has_n_minus_one_degrees_of_freedom() -> None:
    values = np.random.default_rng(6).normal(size=17)
    assert redraw([(values, np.ones(17))], 0, 100).freedom == pytest.approx(16)


@pytest.mark.parametrize(
    ("totals", "step"), [([0, 0, 1], 1), ([-1, 1, 1], 2), ([0, 10, 30], 10), ([0, 0.5], 0), ([4, 4], 0), ([0, 1e20], 0)]
)
def test_the_step_is_the_least_that_one_unit_changes(totals: list[float], step: float) -> None:
    redrawn = redraw([(np.array(totals), np.ones(len(totals)))], 0, 10)
    assert redrawn.step == step / len(totals)


def test_the_ends_of_a_skewed_sample_are_those_of_scipys_bca() -> None:
    values = np.random.default_rng(7).lognormal(sigma=1.0, size=400)
    bca = scipy_stats.bootstrap((values,), np.mean, method="BCa", n_resamples=DRAWS, rng=8).confidence_interval
    plain = scipy_stats.bootstrap((values,), np.mean, method="percentile", n_resamples=DRAWS, rng=8)
    low, high = redraw([(np.sort(values), np.ones(400))], 9, DRAWS).ends(0.95)
    width = bca.high - bca.low
    assert (low, high) == pytest.approx((bca.low, bca.high), abs=0.03 * width)
    assert high > plain.confidence_interval.high + 0.03 * width


def test_the_bootstrap_t_of_normal_data_is_students_t() -> None:
    values = np.random.default_rng(10).normal(size=60)
    expected = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    low, high = redraw([(np.sort(values), np.ones(60))], 11, DRAWS, errors=True).studentised_ends(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03)


def test_draws_without_their_errors_have_no_bootstrap_t() -> None:
    with pytest.raises(ValueError, match="without their errors"):
        redraw([(np.arange(5.0), np.ones(5))], 0, 10).studentised_ends(0.95)


def test_the_bootstrap_t_measures_each_stratum_around_its_own_mean() -> None:
    random = np.random.default_rng(12)
    near, far = np.sort(random.normal(0, 1, 100)), np.sort(random.normal(50, 1, 100))
    strata = [(near, np.ones(100)), (far, np.ones(100))]
    low, high = redraw(strata, 13, DRAWS, errors=True).studentised_ends(0.95)
    assert high - low == pytest.approx(2 * 1.97 / math.sqrt(200), rel=0.15)


@given(st.floats(1, 200), st.floats(0.5, 0.99))
@settings(deadline=None)
def test_the_quantiles_are_scipys(freedom: float, level: float) -> None:
    assert quantile(level) == pytest.approx(scipy_stats.norm.ppf((1 + level) / 2))
    assert student(freedom, level) == pytest.approx(scipy_stats.t.ppf((1 + level) / 2, freedom))
