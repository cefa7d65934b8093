"""pass@k against enumeration of all tries, and its interval against data of which the truth is known."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from speciate.evals.intervals import wilson
from speciate.evals.sampling import pass_at_k, pass_at_k_interval


def test_it_is_the_share_of_all_choices_of_k_that_hold_a_right_one() -> None:
    for n in range(1, 8):
        for right in range(n + 1):
            for k in range(1, n + 1):
                choices = list(combinations([True] * right + [False] * (n - right), k))
                assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, choices)) / len(choices), abs=1e-14)


@given(st.integers(1, 400), st.data())
def test_it_equals_the_formula_in_whole_numbers(n: int, data: st.DataObject) -> None:
    right, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - Fraction(math.comb(n - right, k), math.comb(n, k))
    assert pass_at_k(n, right, k) == pytest.approx(float(exact), rel=1e-11)


def test_a_rare_success_among_many_samples_keeps_its_digits() -> None:
    exact = 1 - Fraction(math.comb(10**6 - 1, 3), math.comb(10**6, 3))
    assert pass_at_k(10**6, 1, 3) == pytest.approx(float(exact), rel=1e-12)
    assert pass_at_k(10**6, 10**6 // 2, 10**5) == 1.0


@pytest.mark.parametrize("chance", [0.03, 0.4, 0.9])
def test_its_mean_over_samples_is_the_chance_of_k_tries(chance: float) -> None:
    n, k = 9, 4
    weights = scipy_stats.binom.pmf(range(n + 1), n, chance)
    mean = sum(weight * pass_at_k(n, right, k) for right, weight in enumerate(weights))
    assert mean == pytest.approx(1 - (1 - chance) ** k, abs=1e-12)


@pytest.mark.parametrize(("n", "right", "k"), [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0), (0, 0, 1)])
def test_what_cannot_be_told_is_refused(n: int, right: int, k: int) -> None:
    with pytest.raises(ValueError, match=r"no count|needs at least"):
        pass_at_k(n, right, k)
    with pytest.raises(ValueError, match=r"no count|needs at least"):
        pass_at_k_interval([(5, 2), (n, right)], k)


def test_the_estimate_is_the_mean_over_items() -> None:
    value, (low, high) = pass_at_k_interval([(10, 3), (10, 0), (4, 4)] * 40, 2)
    assert value == pytest.approx((8 / 15 + 0 + 1) / 3)
    assert 0 < low < value < high < 1


def test_single_answers_have_about_the_interval_of_a_share() -> None:
    value, interval = pass_at_k_interval([(1, 1)] * 120 + [(1, 0)] * 280, 1)
    assert value == 0.3
    assert interval == pytest.approx(wilson(120, 400), abs=0.004)


def test_where_all_or_no_items_are_solved_the_interval_has_a_width() -> None:
    value, (low, high) = pass_at_k_interval([(4, 4)] * 50, 2)
    assert (value, high) == (1.0, 1.0)
    assert 0.9 < low <= wilson(50, 50)[0]
    value, (low, high) = pass_at_k_interval([(4, 0)] * 50, 2)
    assert (value, low) == (0.0, 0.0)
    assert wilson(0, 50)[1] <= high < 0.1


def test_one_item_says_nothing_and_none_is_an_error() -> None:
    assert pass_at_k_interval([(8, 4)], 2)[1] == (0.0, 1.0)
    assert pass_at_k_interval([(8, 4)] * 30, 2, clusters=["c"] * 30)[1] == (0.0, 1.0)
    with pytest.raises(ValueError, match="n = 0"):
        pass_at_k_interval([], 1)


def test_the_interval_contains_the_truth_95_times_in_100() -> None:
    random = np.random.default_rng(23)
    n, k, missed = 6, 3, 0
    chances = random.beta(0.6, 1.2, 100_000)
    truth = float(np.mean(1 - (1 - chances) ** k))
    for seed in range(400):
        right = random.binomial(n, random.choice(chances, 150))
        low, high = pass_at_k_interval([(n, int(count)) for count in right], k, seed=seed, draws=1000)[1]
        missed += not low <= truth <= high
    assert 0.02 <= missed / 400 <= 0.08
