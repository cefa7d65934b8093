"""The forgetting of methods at one gain: worked examples, what may not matter, and simulations whose truth is known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate.evals.fronts import Setting, at_gain, compared

POINTS = [(0.2, 0.01), (0.5, 0.05), (0.6, 0.2), (0.4, 0.3)]
"""Gain and forgetting at four learning rates; the last is worse than the second in both."""


@pytest.mark.parametrize(
    ("gain", "forgetting"),
    [
        (0.1, 0.01),
        (0.2, 0.01),
        (0.35, 0.03),
        (0.5, 0.05),
        (0.55, 0.125),
        (0.6, 0.2),
        (0.61, np.inf),
    ],
)
def test_forgetting_is_read_off_the_line_between_two_points_of_the_front(gain: float, forgetting: float) -> None:
    assert at_gain(np.array(POINTS), gain) == pytest.approx(forgetting)


def test_a_corner_of_the_front_is_not_cut() -> None:
    points = np.array([(0.1, 0.0), (0.3, 0.1), (0.5, 0.12)])
    assert at_gain(points, 0.3) == pytest.approx(0.1)
    assert at_gain(points, 0.2) == pytest.approx(0.05)


pair = st.tuples(st.integers(-5, 20).map(lambda n: n / 20), st.integers(-5, 20).map(lambda n: n / 20))


@given(st.lists(pair, min_size=1, max_size=6), st.integers(-5, 20).map(lambda n: n / 20), st.randoms())
def test_the_order_of_the_settings_does_not_matter_and_another_setting_only_helps_at_its_own_gain(
    points: list[tuple[float, float]], gain: float, random: Any
) -> None:
    found = at_gain(np.array(points), gain)
    mixed = list(points)
    random.shuffle(mixed)
    assert at_gain(np.array(mixed), gain) == pytest.approx(found)
    assert np.isfinite(found) == (max(one for one, _ in points) >= gain), found
    enough = [loss for one, loss in points if one >= gain]
    if enough:
        assert found <= min(enough) + 1e-12
        assert found >= min(loss for _, loss in points) - 1e-12


@given(st.lists(st.lists(pair, min_size=3, max_size=3), min_size=2, max_size=5), st.floats(0, 1))
def test_many_are_read_at_once_as_one_by_one(points: list[list[tuple[float, float]]], gain: float) -> None:
    each = np.array([at_gain(np.array(one), gain) for one in points])
    assert at_gain(np.array(points), np.full(len(points), gain)) == pytest.approx(each)


def worlds(random: np.random.Generator, seeds: int, spread: float) -> dict[str, list[Setting]]:
    """Methods on the same items, of which the second forgets a tenth of the first; seeds differ by `spread`."""
    niche, general = random.normal(0, spread, (2, seeds))
    hard, kept = random.random((seeds, 200)), random.random((seeds, 600))

    def setting(gain: float, loss: float) -> Setting:
        gains = hard < np.clip(gain * (1 + niche), 0, 1)[:, None]
        losses = kept < np.clip(loss * (1 + general), 0, 1)[:, None]
        return Setting(gains.astype(float), losses.astype(float))

    return {
        "full": [setting(0.3, 0.05), setting(0.6, 0.2)],
        "kept": [setting(0.3, 0.005), setting(0.65, 0.02)],
        "weak": [setting(0.1, 0.0), setting(0.2, 0.001)],
    }


NICHE, GENERAL = ["a"] * 100 + ["b"] * 100, ["x"] * 300 + ["y"] * 300


def test_what_is_removed_is_told_with_its_interval_and_what_never_gains_enough_is_not() -> None:
    found = compared(worlds(np.random.default_rng(1), 3, 0.02), "full", NICHE, GENERAL, draws=2000)
    assert found.gain == pytest.approx(0.57, abs=0.05)
    assert found.reference.removed == 0.0
    kept, weak = found.methods["kept"], found.methods["weak"]
    assert kept.removed_ci95
    assert kept.removed_ci95[0] < 0.9 < kept.removed_ci95[1]
    assert kept.p_value
    assert kept.p_value < 0.01
    assert (weak.forgetting, weak.removed, weak.reached) == (None, None, 0.0)


def test_nothing_is_said_to_be_removed_where_the_reference_forgets_nothing_for_sure() -> None:
    random = np.random.default_rng(2)
    same = [Setting(random.random((3, 200)).round(), np.zeros((3, 600)))]
    found = compared({"full": same, "other": same}, "full", NICHE, GENERAL, draws=500)
    assert found.methods["other"].forgetting == 0.0
    assert found.methods["other"].removed is None


def test_settings_of_other_items_are_not_compared() -> None:
    one, two = Setting(np.zeros((3, 200)), np.zeros((3, 600))), Setting(np.zeros((2, 200)), np.zeros((2, 600)))
    with pytest.raises(ValueError, match="not of the same seeds and items"):
        compared({"full": [one], "other": [two]}, "full", NICHE, GENERAL)


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_the_interval_of_what_is_removed_holds_the_truth(spread: float) -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        found = compared(worlds(random, 3, spread), "full", NICHE, GENERAL, draws=400).methods["kept"]
        assert found.removed_ci95, spread
        # At 0.57: full forgets 0.185, the other 0.0154 (both on the line between their settings).
        held += (
            found.removed_ci95[0]
            <= 1 - (0.005 + 0.27 / 0.35 * 0.015) / (0.05 + 0.27 / 0.3 * 0.15)
            <= found.removed_ci95[1]
        )
    assert held >= 184, "95% less three standard errors"


@settings(max_examples=20)
@given(st.permutations(range(3)))
def test_the_order_of_the_seeds_does_not_matter_to_the_estimate(order: list[int]) -> None:
    world = worlds(np.random.default_rng(4), 3, 0.05)
    moved = {name: [Setting(one.gains[order], one.losses[order]) for one in tried] for name, tried in world.items()}
    first, second = (compared(each, "full", NICHE, GENERAL, draws=10).methods["kept"] for each in (world, moved))
    assert first.forgetting == pytest.approx(second.forgetting)
