"""Numbers of items against published ones, their own inverse, and simulated comparisons."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.evals.intervals import paired_bootstrap
from speciate.evals.power import cluster_effect, items_for, minimum_detectable

shares = st.floats(0.02, 1)


@pytest.mark.parametrize(("difference", "items"), [(0.01, 7_841), (0.02, 1_954), (0.005, 31_388)])
def test_the_numbers_where_a_tenth_of_the_items_changes(difference: float, items: int) -> None:
    assert items_for(difference, 0.10) == items_for(-difference, 0.10) == items


@given(shares, st.floats(0.05, 0.9), st.sampled_from([0.9, 0.95, 0.99]), st.floats(0.5, 0.95), st.floats(1, 8))
def test_the_smallest_difference_is_the_inverse(
    discordant: float, part: float, level: float, power: float, effect: float
) -> None:
    difference = part * discordant
    n = items_for(difference, discordant, level=level, power=power, design_effect=effect)
    below, above = (
        minimum_detectable(max(1, n + off), discordant, level=level, power=power, design_effect=effect)
        for off in (1, -1)
    )
    assert below <= difference * (1 + 1e-9) <= above * (1 + 1e-9) or n == 1


@given(shares, st.floats(0.1, 0.9))
def test_more_items_for_less_difference_more_power_and_clusters(discordant: float, part: float) -> None:
    difference = part * discordant
    n = items_for(difference, discordant)
    assert items_for(difference / 2, discordant) >= n
    assert items_for(difference, discordant, power=0.9) >= n
    assert items_for(difference, discordant, level=0.99) >= n
    assert items_for(difference, discordant, design_effect=3) == pytest.approx(3 * n, abs=2)


def test_that_many_items_find_the_difference_four_times_in_five() -> None:
    random = np.random.default_rng(3)
    lost, gained = 0.06, 0.14
    n = items_for(gained - lost, lost + gained)
    found = 0
    for seed in range(400):
        kinds = random.random(n)
        base = (kinds < lost).astype(float).tolist()
        adapter = ((kinds >= lost) & (kinds < lost + gained)).astype(float).tolist()
        found += paired_bootstrap(base, adapter, ["f"] * n, seed=seed, draws=1000)[0] > 0
    assert 0.74 <= found / 400 <= 0.86


def test_too_few_items_show_nothing() -> None:
    assert minimum_detectable(3, 0.1) == math.inf
    assert 0.2 < minimum_detectable(20, 0.3) < 0.3


def test_the_effect_of_clusters() -> None:
    assert cluster_effect(1, 0.7) == 1
    assert cluster_effect(10, 0.0) == 1
    assert cluster_effect(10, 1.0) == 10
    assert cluster_effect(5, 0.25) == 2


@pytest.mark.parametrize(
    ("difference", "discordant", "extra"),
    [
        (0.0, 0.1, {}),
        (0.2, 0.1, {}),
        (0.1, 0.0, {}),
        (0.1, 1.5, {}),
        (0.1, float("nan"), {}),
        (0.1, 0.5, {"level": 1.0}),
        (0.1, 0.5, {"power": 0.3}),
        (0.1, 0.5, {"design_effect": 0.5}),
    ],
)
def test_what_cannot_be_is_refused(difference: float, discordant: float, extra: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"a difference of|the share|a level of|a design effect"):
        items_for(difference, discordant, **extra)


def test_no_items_and_no_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="n = 0"):
        minimum_detectable(0, 0.1)
    with pytest.raises(ValueError, match="clusters of"):
        cluster_effect(0.5, 0.5)
    with pytest.raises(ValueError, match="clusters of"):
        cluster_effect(5, 1.5)
