"""How uneven a model is: against what is known exactly, and how often the interval holds the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from speciate.evals.spread import spread, spread_difference

EXPERIMENTS = 200
Scores = list[float]


@st.composite
def counts(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    n = draw(st.lists(st.integers(2, 60), min_size=2, max_size=8))
    return [draw(st.integers(0, of)) for of in n], n


def test_with_many_items_it_is_the_standard_deviation_of_the_accuracies() -> None:
    found = spread([100_000, 300_000, 500_000, 900_000], [1_000_000] * 4)
    assert found.value == pytest.approx(np.std([0.1, 0.3, 0.5, 0.9]), abs=1e-5)
    assert found.interval == pytest.approx((found.value, found.value), abs=0.002)


def test_perfect_in_half_of_the_families_is_one_half() -> None:
    found = spread([40, 0, 40, 0], [40] * 4)
    assert found.value == found.interval[1] == 0.5
    assert 0.4 < found.interval[0] < 0.5, "forty perfect answers do not prove perfection"


def test_by_hand() -> None:
    chance = (0.3 * 0.7 / 9 + 0.9 * 0.1 / 9) / 2
    assert spread([3, 9], [10, 10]).value == pytest.approx((0.3**2 - chance / 2) ** 0.5)


def test_the_square_is_right_on_average_where_it_is_not_cut_off() -> None:
    random = np.random.default_rng(3)
    chances = np.array([0.15, 0.5, 0.9])
    squares = [spread(random.binomial(12, chances).tolist(), [12] * 3, draws=20).value ** 2 for _ in range(1500)]
    assert np.mean(squares) == pytest.approx(chances.var(), abs=4 * np.std(squares) / 1500**0.5)


def test_families_that_are_more_alike_than_chance_allows_may_still_differ() -> None:
    found = spread([10] * 10, [20] * 10)
    assert (found.value, found.interval[0]) == (0.0, 0.0)
    assert 0.05 < found.interval[1] < 0.2
    assert spread([0] * 5, [20] * 5).interval[1] > 0.03


@given(counts(), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_it_lies_in_its_interval_between_0_and_one_half(found: tuple[list[int], list[int]], seed: int) -> None:
    right, n = found
    measured = spread(right, n, seed=seed, draws=300)
    low, high = measured.interval
    assert 0 <= low <= measured.value <= high <= 0.5
    assert low < high
    assert spread(right, n, seed=seed, draws=300) == measured
    narrow = spread(right, n, seed=seed, draws=300, level=0.8).interval
    assert low <= narrow[0] + 1e-6
    assert narrow[1] <= high + 1e-6


@given(counts())
@settings(deadline=None, max_examples=40)
def test_right_and_wrong_are_the_same_to_it(found: tuple[list[int], list[int]]) -> None:
    right, n = found
    mirrored = spread([of - one for one, of in zip(right, n, strict=True)], n, draws=20)
    assert mirrored.value == pytest.approx(spread(right, n, draws=20).value, abs=1e-7)


@pytest.mark.parametrize("n", [30, 150])
@pytest.mark.parametrize("width", [0.0, 0.1, 0.3])
def test_it_holds_the_true_spread_95_times_in_100(n: int, width: float) -> None:
    random = np.random.default_rng(5)
    chances = 0.5 + width * np.linspace(-1.3, 1.3, 8)
    missed = 0
    for seed in range(EXPERIMENTS):
        low, high = spread(random.binomial(n, chances).tolist(), [n] * 8, seed=seed, draws=500).interval
        missed += not low <= chances.std() <= high
    assert missed / EXPERIMENTS <= 0.10
    blind = [random.binomial(n, chances) / n for _ in range(EXPERIMENTS)]
    assert np.mean([accuracies.std() for accuracies in blind]) > chances.std()


# --- the change ---


def answers(random: np.random.Generator, n: int, base: NDArray[np.float64], adapter: NDArray[np.float64]) -> tuple[
    Scores, Scores, list[str]
]:  # fmt: skip
    """n items of each family, on which both models err together more often than not."""
    families = np.repeat(np.arange(len(base)), n)
    shared = random.random(len(families))
    own = np.where(random.random((2, len(families))) < 0.7, shared, random.random((2, len(families))))
    old, new = (own[0] < base[families]).astype(float), (own[1] < adapter[families]).astype(float)
    return old.tolist(), new.tolist(), [f"family-{number}" for number in families]


def test_a_specialist_is_more_uneven() -> None:
    even, uneven = np.full(6, 0.5), np.array([0.95, 0.95, 0.95, 0.2, 0.2, 0.2])
    base, adapter, families = answers(np.random.default_rng(7), 200, even, uneven)
    found = spread_difference(base, adapter, families)
    assert 0.25 < found.interval[0] < found.value < found.interval[1] < 0.45
    back = spread_difference(adapter, base, families)
    assert back.value == pytest.approx(-found.value)
    assert back.interval == pytest.approx((-found.interval[1], -found.interval[0]), abs=0.01)


def test_an_adapter_that_answers_as_the_base_does_changes_nothing() -> None:
    base, _, families = answers(np.random.default_rng(8), 100, np.linspace(0.1, 0.9, 5), np.full(5, 0.5))
    found = spread_difference(base, base, families)
    assert found.value == 0
    assert -0.02 < found.interval[0] <= 0 <= found.interval[1] < 0.02


def test_the_same_items_make_the_change_better_known_than_its_parts() -> None:
    base, adapter, families = answers(np.random.default_rng(9), 150, np.linspace(0.2, 0.8, 6), np.linspace(0.1, 0.9, 6))
    shuffled = np.random.default_rng(10)
    apart = [score for start in range(0, 900, 150) for score in shuffled.permutation(adapter[start : start + 150])]
    paired, unpaired = spread_difference(base, adapter, families), spread_difference(base, apart, families)
    assert paired.value == unpaired.value
    widths = [high - low for low, high in (paired.interval, unpaired.interval)]
    assert widths[0] < 0.85 * widths[1]


@pytest.mark.parametrize(("before", "after"), [(0.15, 0.15), (0.05, 0.25), (0.3, 0.1)])
def test_the_change_holds_the_truth_95_times_in_100(before: float, after: float) -> None:
    random = np.random.default_rng(11)
    shape = np.linspace(-1.3, 1.3, 6)
    base, adapter = 0.5 + before * shape, 0.5 + after * shape
    missed = 0
    for seed in range(EXPERIMENTS):
        low, high = spread_difference(*answers(random, 100, base, adapter), seed=seed, draws=400).interval
        missed += not low <= adapter.std() - base.std() <= high
    assert missed / EXPERIMENTS <= 0.10


@pytest.mark.parametrize(
    ("right", "n", "message"),
    [([1, 2], [2], "no counts"), ([3, 1], [2, 2], "no counts"), ([3], [5], "2 families"), ([1, 1], [1, 5], "2 items")],
)
def test_what_has_no_spread_is_refused(right: list[int], n: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spread(right, n)


@pytest.mark.parametrize(
    ("base", "adapter", "families", "message"),
    [
        ([1.0] * 4, [1.0] * 4, ["f"] * 4, "2 families"),
        ([1.0] * 4, [1.0] * 3, ["f", "f", "g", "g"], "belong together"),
        ([1.0] * 4, [1.0, 0.0, 2.0, 0.0], ["f", "f", "g", "g"], "outside"),
    ],
)
def test_scores_that_have_no_spread_are_refused(
    base: Scores, adapter: Scores, families: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        spread_difference(base, adapter, families)
