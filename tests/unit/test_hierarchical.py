"""The interval over seeds and items: what it must equal, what it must not do, and how often it holds the truth."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from speciate.evals.hierarchical import hierarchical_bootstrap
from speciate.evals.intervals import Interval, paired_bootstrap

Rows = list[list[float]]
EXPERIMENTS = 300
TOLERANCE = 3 * math.sqrt(0.05 * 0.95 / EXPERIMENTS)


@st.composite
def answered(draw: st.DrawFn) -> tuple[Rows, Rows, list[str], list[str] | None]:
    score = st.sampled_from([0.0, 1.0]) if draw(st.booleans()) else st.floats(0, 1)
    seeds, items = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    row = st.lists(score, min_size=items, max_size=items)
    base = draw(st.lists(row, min_size=1, max_size=1) | st.lists(row, min_size=seeds, max_size=seeds))
    adapter = draw(st.lists(row, min_size=seeds, max_size=seeds))
    families = draw(st.lists(st.sampled_from("ab"), min_size=items, max_size=items))
    clusters = draw(st.none() | st.lists(st.sampled_from("xyz"), min_size=items, max_size=items))
    return base, adapter, families, clusters


# --- what it must equal ---


@given(answered(), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_one_seed_is_the_paired_bootstrap(rows: tuple[Rows, Rows, list[str], list[str] | None], seed: int) -> None:
    base, adapter, families, clusters = rows
    alone = paired_bootstrap(base[0], adapter[0], families, clusters=clusters, seed=seed, draws=300)
    assert hierarchical_bootstrap(base[:1], adapter[:1], families, clusters=clusters, seed=seed, draws=300) == alone


def test_seeds_that_answer_alike_add_nothing() -> None:
    random = np.random.default_rng(2)
    base, adapter = random.integers(0, 2, (2, 300)).astype(float)
    families = ["a", "b", "c"] * 100
    same = hierarchical_bootstrap(base, np.stack([adapter] * 4), families)
    assert same == pytest.approx(paired_bootstrap(base.tolist(), adapter.tolist(), families), abs=1e-12)


def test_where_only_seeds_differ_it_is_students_t_of_the_seeds() -> None:
    gains = [0.2, 0.25, 0.4, 0.45]
    rows = [[gain] * 400 for gain in gains]
    expected = scipy_stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    found = hierarchical_bootstrap([[0.0] * 400], rows, ["f"] * 400)
    assert found == pytest.approx((expected.low, expected.high), rel=0.04)


def test_where_seeds_agree_on_every_item_but_for_noise_it_is_the_interval_of_the_means() -> None:
    random = np.random.default_rng(4)
    base, shared = random.uniform(0, 0.4, 2000), random.uniform(0.3, 0.9, 2000)
    adapter = shared + random.uniform(-0.01, 0.01, (3, 2000))
    low, high = hierarchical_bootstrap(base, adapter, ["f"] * 2000)
    expected = scipy_stats.ttest_1samp(adapter.mean(axis=0) - base, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.0015)


def test_the_base_may_be_given_once_flat_or_for_every_seed() -> None:
    random = np.random.default_rng(6)
    base, adapter = random.random(60), random.random((3, 60))
    once = hierarchical_bootstrap([base.tolist()], adapter, ["f"] * 60)
    assert hierarchical_bootstrap(base, adapter.tolist(), ["f"] * 60) == once
    assert hierarchical_bootstrap([base.tolist()] * 3, adapter.tolist(), ["f"] * 60) == once


# --- what always holds ---


@given(answered(), st.integers(0, 3))
@settings(deadline=None, max_examples=80)
def test_it_contains_the_difference_and_swaps_with_its_sides(
    rows: tuple[Rows, Rows, list[str], list[str] | None], seed: int
) -> None:
    base, adapter, families, clusters = rows
    base = base * len(adapter) if len(base) == 1 else base
    low, high = hierarchical_bootstrap(base, adapter, families, clusters=clusters, seed=seed, draws=300)
    delta = float(np.mean(np.subtract(adapter, base)))
    assert -1 <= low <= delta + 1e-9
    assert delta - 1e-9 <= high <= 1
    assert low < high
    swapped = hierarchical_bootstrap(adapter, base, families, clusters=clusters, seed=seed, draws=300)
    assert swapped == (-high, -low)


@given(answered(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_neither_the_order_of_the_seeds_nor_of_the_items_matters(
    rows: tuple[Rows, Rows, list[str], list[str] | None], random: Random
) -> None:
    base, adapter, families, clusters = rows
    pairs = list(zip(base * len(adapter) if len(base) == 1 else base, adapter, strict=True))
    random.shuffle(pairs)
    order = random.sample(range(len(families)), len(families))

    def moved(values: list[float]) -> list[float]:
        return [values[place] for place in order]

    found = hierarchical_bootstrap(base, adapter, families, clusters=clusters, draws=300)
    shuffled = hierarchical_bootstrap(
        [moved(old) for old, _ in pairs],
        [moved(new) for _, new in pairs],
        [families[place] for place in order],
        clusters=None if clusters is None else [clusters[place] for place in order],
        draws=300,
    )
    assert shuffled == pytest.approx(found, abs=1e-8)


@given(answered())
@settings(deadline=None, max_examples=40)
def test_it_is_never_narrower_than_with_the_seeds_as_they_are(
    rows: tuple[Rows, Rows, list[str], list[str] | None],
) -> None:
    base, adapter, families, clusters = rows
    low, high = hierarchical_bootstrap(base, adapter, families, clusters=clusters, draws=400)
    narrow = hierarchical_bootstrap(base, adapter, families, clusters=clusters, draws=400, level=0.90)
    assert low <= narrow[0] <= narrow[1] <= high
    means = np.mean(base, axis=0).tolist(), np.mean(adapter, axis=0).tolist()
    fixed = paired_bootstrap(*means, families, clusters=clusters, draws=400)
    # Sums over seeds move in whole steps where their means do not, so these are other draws.
    assert low <= fixed[0] + 0.03
    assert high >= fixed[1] - 0.03


# --- small and degenerate ---


def test_one_item_or_cluster_says_nothing_and_no_item_is_an_error() -> None:
    assert hierarchical_bootstrap([[0.0]], [[1.0], [1.0]], ["f"]) == (-1.0, 1.0)
    assert hierarchical_bootstrap([[0.0] * 9], [[1.0] * 9] * 3, ["f"] * 9, clusters=["c"] * 9) == (-1.0, 1.0)
    for seeds in (1, 3):
        with pytest.raises(ValueError, match="n = 0"):
            hierarchical_bootstrap([[]], [[]] * seeds, [])


def test_without_any_change_the_bound_is_the_rule_of_three() -> None:
    low, high = hierarchical_bootstrap([[1.0] * 600], [[1.0] * 600] * 3, ["f"] * 600, level=0.90)
    assert -low == high == pytest.approx(3 / 600, rel=0.01)


@pytest.mark.parametrize(
    ("base", "adapter", "families", "clusters", "message"),
    [
        ([[1.0, 0.0]], [[1.0], [0.0]], ["f"], None, "not paired"),
        ([[1.0], [0.0]], [[1.0], [0.0], [1.0]], ["f"], None, "not paired"),
        ([[1.0]], [[1.0], [0.0]], ["f", "f"], None, "not paired"),
        ([[1.0, 0.0]], [[1.0, 0.0]] * 2, ["f", "f"], ["c"], "not paired"),
        ([[1.0, 2.0]], [[1.0, 0.0]] * 2, ["f", "f"], None, "outside"),
        ([[1.0, 0.0]], [[1.0, math.nan]] * 2, ["f", "f"], None, "outside"),
    ],
)
def test_scores_that_are_no_pairs_are_refused(
    base: Rows, adapter: Rows, families: list[str], clusters: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        hierarchical_bootstrap(base, adapter, families, clusters=clusters)


# --- how often it holds the truth ---


class World:
    """Seeds, clusters and items with normal effects on the chance to be right, as in a probit model."""

    def __init__(self, seeds: int, items: int, per_cluster: int, seed_effect: float, noise: float) -> None:
        self.seeds, self.noise, self.seed_effect = seeds, noise, seed_effect
        self.families = [f"family-{item % 5}" for item in range(items)]
        self.cluster_numbers = np.arange(items) % 5 * items + np.arange(items) // 5 // per_cluster
        self.clusters = [str(number) for number in self.cluster_numbers]
        chance = scipy_stats.norm.cdf([0.4 / math.sqrt(1 + seed_effect**2), -0.3])
        self.truth = float(chance[0] - chance[1])

    def answers(self, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        items = len(self.families)
        _, numbers = np.unique(self.cluster_numbers, return_inverse=True)
        easy = math.sqrt(0.5) * (random.standard_normal(items) + random.standard_normal(items)[numbers])
        own = math.sqrt(self.noise) * random.standard_normal((self.seeds, items))
        seed = self.seed_effect * random.standard_normal((self.seeds, 1))
        adapter = 0.4 + math.sqrt(1 - self.noise) * easy + own + seed > 0
        base = -0.3 + math.sqrt(0.7) * easy + math.sqrt(0.3) * random.standard_normal((1, items)) > 0
        return base.astype(float), adapter.astype(float)

    def missed(self, interval: Interval) -> bool:
        return not interval[0] <= self.truth <= interval[1]


@pytest.mark.parametrize(
    ("seeds", "items", "per_cluster", "seed_effect"),
    [(3, 500, 1, 0.0), (3, 500, 1, 0.15), (5, 1000, 4, 0.1), (10, 300, 1, 0.2)],
)
def test_it_contains_the_truth_95_times_in_100(seeds: int, items: int, per_cluster: int, seed_effect: float) -> None:
    random, missed = np.random.default_rng(29), 0
    world = World(seeds, items, per_cluster, seed_effect, noise=0.1)
    for seed in range(EXPERIMENTS):
        base, adapter = world.answers(random)
        found = hierarchical_bootstrap(base, adapter, world.families, clusters=world.clusters, seed=seed, draws=1000)
        missed += world.missed(found)
    assert 0.05 - TOLERANCE <= missed / EXPERIMENTS <= 0.05 + TOLERANCE


def test_to_leave_out_the_seeds_is_too_narrow_and_to_draw_both_and_add_up_is_too_wide() -> None:
    random = np.random.default_rng(31)
    world = World(5, 300, 1, 0.3, noise=0.1)
    seeds_left_out, added_up = 0, 0
    for seed in range(EXPERIMENTS):
        base, adapter = world.answers(random)
        means = base[0].tolist(), adapter.mean(axis=0).tolist()
        seeds_left_out += world.missed(paired_bootstrap(*means, world.families, seed=seed, draws=500))
        noise = random.integers(0, 2, (5, 300))
        seeds, items = (random.multinomial(n, [1 / n] * n, size=500) for n in noise.shape)
        low, high = np.quantile(((seeds @ noise) * items).mean(axis=1) / 5, [0.025, 0.975])
        added_up += not low <= 0.5 <= high
    assert seeds_left_out / EXPERIMENTS > 0.2
    assert added_up / EXPERIMENTS < 0.01
