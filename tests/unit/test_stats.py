"""The statistics against published values, against scipy, and against data of which the truth is known."""

import math
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from speciate.evals import stats
from speciate.evals.intervals import paired_bootstrap, tango, units_of, wilson
from speciate.records import GateResult, Outcome

Scores = list[float]
Paired = tuple[Scores, Scores, list[str]]


def pairs(right_both: int = 0, lost: int = 0, gained: int = 0, wrong_both: int = 0) -> Paired:
    """Items of one family with these counts."""
    base = [1.0] * right_both + [1.0] * lost + [0.0] * gained + [0.0] * wrong_both
    adapter = [1.0] * right_both + [0.0] * lost + [1.0] * gained + [0.0] * wrong_both
    return base, adapter, ["family"] * len(base)


def one_seed(items: Paired) -> tuple[Scores, list[Scores], list[str]]:
    base, adapter, families = items
    return base, [adapter], families


@st.composite
def paired_items(draw: st.DrawFn) -> Paired:
    score = st.sampled_from([0.0, 1.0]) if draw(st.booleans()) else st.floats(0, 1)
    rows = draw(st.lists(st.tuples(score, score, st.sampled_from("abc")), min_size=1, max_size=40))
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


# --- against the books ---


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_of_newcombe_1998_table_1(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(2, 500), st.floats(0, 1))
def test_wilson_agrees_with_scipy(n: int, share: float) -> None:
    right = round(share * n)
    expected = scipy_stats.binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_test(lost: int, gained: int) -> None:
    expected = scipy_stats.binomtest(lost, lost + gained, 0.5).pvalue if lost + gained else 1.0
    assert stats.mcnemar(lost, gained) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("gained", "lost", "n", "level", "low", "high"),
    [
        (1, 7, 21, 0.95, -0.517, -0.026),  # Fagerland, Lydersen & Laake 2014, airway hyper-responsiveness
        (28, 25, 618, 0.90, -0.0148, 0.0247),  # R package PropCIs, scoreci.mp(25, 28, 618)
        (38, 48, 200, 0.95, -0.1405, 0.0412),
    ],
)
def test_tango_gives_published_values(gained: int, lost: int, n: int, level: float, low: float, high: float) -> None:
    assert tango(gained, lost, n, level) == pytest.approx((low, high), abs=6e-4)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_tango_brackets_the_estimate_and_mirrors(gained: int, lost: int, unchanged: int) -> None:
    n = gained + lost + unchanged
    low, high = tango(gained, lost, n)
    assert -1 <= low < (gained - lost) / n < high <= 1
    mirrored = tango(lost, gained, n)
    assert mirrored == pytest.approx((-high, -low), abs=1e-8)


def test_the_bootstrap_agrees_with_scipy_on_a_large_sample() -> None:
    random = np.random.default_rng(5)
    base, adapter = random.random(800).tolist(), random.beta(3, 2, 800).tolist()
    differences = np.subtract(adapter, base)
    expected = scipy_stats.bootstrap((differences,), np.mean, method="percentile", rng=6).confidence_interval
    assert paired_bootstrap(base, adapter, ["f"] * 800) == pytest.approx((expected.low, expected.high), abs=0.003)


def test_the_bootstrap_of_a_small_sample_is_as_wide_as_students_t() -> None:
    random = np.random.default_rng(7)
    base, adapter = random.uniform(0.2, 0.4, 40).tolist(), random.uniform(0.5, 0.9, 40).tolist()
    differences = np.subtract(adapter, base)
    expected = scipy_stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    low, high = paired_bootstrap(base, adapter, ["f"] * 40)
    assert high - low == pytest.approx(expected.high - expected.low, rel=0.08)


# --- properties ---


@given(paired_items(), st.integers(0, 5))
@example(([0.0, 0.25, 1.0, 0.75] * 20, [0.25, 0.0, 0.75, 1.0] * 20, ["f"] * 80), 0)
@settings(deadline=None, max_examples=60)
def test_an_interval_contains_the_difference_and_swaps_with_its_sides(items: Paired, seed: int) -> None:
    base, adapter, families = items
    low, high = paired_bootstrap(base, adapter, families, seed=seed, draws=500)
    delta = math.fsum(np.subtract(adapter, base)) / len(base)
    assert -1 <= low <= delta + 1e-12
    assert delta - 1e-12 <= high <= 1
    assert low < high
    assert paired_bootstrap(adapter, base, families, seed=seed, draws=500) == (-high, -low)


@given(paired_items(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_the_order_of_the_items_does_not_matter(items: Paired, random: Random) -> None:
    rows = list(zip(*items, strict=True))
    random.shuffle(rows)
    shuffled = [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
    assert paired_bootstrap(*shuffled, draws=500) == pytest.approx(paired_bootstrap(*items, draws=500))


@given(paired_items())
@settings(deadline=None, max_examples=40)
def test_a_seed_decides_and_the_90_percent_interval_lies_in_the_95(items: Paired) -> None:
    wide = paired_bootstrap(*items, draws=500)
    narrow = paired_bootstrap(*items, level=0.90, draws=500)
    assert paired_bootstrap(*items, draws=500) == wide
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]


def test_another_seed_gives_another_interval() -> None:
    random = np.random.default_rng(1)
    base, adapter = random.random(100).tolist(), random.random(100).tolist()
    intervals = {paired_bootstrap(base, adapter, ["f"] * 100, seed=seed) for seed in range(3)}
    assert len(intervals) == 3


# --- small and degenerate samples ---


def test_no_item_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="n = 0"):
        paired_bootstrap([], [], [])
    with pytest.raises(ValueError, match="n = 0"):
        stats.paired_estimate([], [[]], [], "pass@1")
    with pytest.raises(ValueError, match="n = 0"):
        stats.forgetting([], [[]], [], "accuracy")
    with pytest.raises(ValueError, match="n = 0"):
        stats.gain_gate([], [], [], 0.1)
    with pytest.raises(ValueError, match="n = 0"):
        stats.nats_difference([], [], [])
    with pytest.raises(ValueError, match="n = 0"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="n = 0"):
        tango(0, 0, 0)


def test_one_item_says_nothing() -> None:
    assert paired_bootstrap([0.0], [1.0], ["f"]) == (-1.0, 1.0)
    assert wilson(1, 1) == (0.0, 1.0)
    assert stats.gain_gate([0.0], [1.0], ["f"], 0.5).outcome == "undecided"
    assert stats.forgetting_gate([1.0], [1.0], ["f"], 0.01).outcome == "undecided"


def test_one_cluster_says_nothing_however_many_items_it_has() -> None:
    assert paired_bootstrap([0.0] * 50, [1.0] * 50, ["f"] * 50, clusters=["c"] * 50) == (-1.0, 1.0)


@pytest.mark.parametrize("n", [2, 10, 100, 1200])
def test_without_any_change_the_bound_is_the_rule_of_three(n: int) -> None:
    loss = stats.forgetting(*one_seed(pairs(right_both=n)), "accuracy")
    exact = 1 - 0.05 ** (1 / n)
    assert loss.delta == 0
    assert exact - 1e-9 <= loss.ci95_upper <= exact + 0.12 / n**0.5
    assert loss.ci95[0] == -loss.ci95[1] < 0


def test_where_each_family_is_all_or_nothing_the_interval_still_has_a_width() -> None:
    base = [0.0] * 100
    adapter = [1.0] * 50 + [0.0] * 50
    low, high = paired_bootstrap(base, adapter, ["learned"] * 50 + ["not"] * 50)
    assert low < 0.45
    assert high > 0.55


@pytest.mark.parametrize(
    ("base", "adapter", "families", "message"),
    [
        ([1.0], [1.0, 0.0], ["f"], "not paired"),
        ([1.0, 0.0], [1.0, 0.0], ["f"], "not paired"),
        ([1.0, 2.0], [1.0, 0.0], ["f", "f"], "outside"),
        ([1.0, float("nan")], [1.0, 0.0], ["f", "f"], "outside"),
    ],
)
def test_scores_that_are_no_pairs_are_refused(base: Scores, adapter: Scores, families: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(base, adapter, families)


# --- what it is for: coverage, and the error rate of the gates ---

EXPERIMENTS = 300
TOLERANCE = 3 * math.sqrt(0.05 * 0.95 / EXPERIMENTS)
"""Three standard deviations of an observed error rate, where the true one is 5%."""


def sample(random: np.random.Generator, n: int, lost: Sequence[float], gained: Sequence[float]) -> Paired:
    """n items in each family, of which shares change; what does not change is right."""
    base: Scores = []
    adapter: Scores = []
    families: list[str] = []
    for number, (down, up) in enumerate(zip(lost, gained, strict=True)):
        kinds = random.choice(3, size=n, p=[down, up, 1 - down - up])
        base += [0.0 if kind == 1 else 1.0 for kind in kinds]
        adapter += [0.0 if kind == 0 else 1.0 for kind in kinds]
        families += [f"family-{number}"] * n
    return base, adapter, families


def test_95_percent_intervals_contain_the_truth_95_times_in_100() -> None:
    random = np.random.default_rng(11)
    lost, gained = [0.05, 0.0, 0.1, 0.2], [0.9, 0.5, 0.2, 0.2]
    truth = sum(gained) / 4 - sum(lost) / 4
    missed = 0
    for seed in range(EXPERIMENTS):
        low, high = paired_bootstrap(*sample(random, 30, lost, gained), seed=seed, draws=2000)
        missed += not low <= truth <= high
    assert missed / EXPERIMENTS <= 0.05 + TOLERANCE
    assert missed > 0, "an interval that never misses is wider than it says"


@pytest.mark.parametrize(("lost", "gained"), [(0.02, 0.0), (0.03, 0.01), (0.12, 0.10)])
def test_a_loss_as_large_as_the_margin_passes_at_most_5_times_in_100(lost: float, gained: float) -> None:
    random = np.random.default_rng(13)
    passed = 0
    for seed in range(EXPERIMENTS):
        base, adapter, families = sample(random, 75, [lost] * 4, [gained] * 4)
        upper = paired_bootstrap(adapter, base, families, level=stats.ONE_SIDED, seed=seed, draws=2000)[1]
        passed += upper < 0.02
    assert passed / EXPERIMENTS <= 0.05 + TOLERANCE


def test_items_of_one_template_are_not_independent() -> None:
    random = np.random.default_rng(17)
    missed = {"clustered": 0, "blind": 0}
    for seed in range(EXPERIMENTS):
        solved = random.random(40) < 0.5
        base, adapter = [0.0] * 400, [float(solved[item // 10]) for item in range(400)]
        families = [f"family-{item // 200}" for item in range(400)]
        clusters = [str(item // 10) for item in range(400)]
        low, high = paired_bootstrap(base, adapter, families, clusters=clusters, seed=seed, draws=1000)
        missed["clustered"] += not low <= 0.5 <= high
        low, high = paired_bootstrap(base, adapter, families, seed=seed, draws=1000)
        missed["blind"] += not low <= 0.5 <= high
    assert missed["clustered"] / EXPERIMENTS <= 0.05 + TOLERANCE
    assert missed["blind"] / EXPERIMENTS > 0.3


def test_the_advised_number_of_items_decides_about_four_times_in_five() -> None:
    advised = stats.items_to_decide(*pairs(right_both=192, lost=4, gained=4), 0.02)
    assert advised is not None
    assert advised > 200
    random = np.random.default_rng(19)
    decided = 0
    for seed in range(EXPERIMENTS):
        base, adapter, families = sample(random, math.ceil(advised / 4), [0.02] * 4, [0.02] * 4)
        upper = paired_bootstrap(adapter, base, families, level=stats.ONE_SIDED, seed=seed, draws=1000)[1]
        decided += upper < 0.02
    assert 0.70 <= decided / EXPERIMENTS <= 0.90


# --- records and gates ---


def test_an_estimate_counts_and_subtracts_the_same_items() -> None:
    estimate = stats.paired_estimate(*one_seed(pairs(right_both=5, lost=2, gained=40, wrong_both=53)), "pass@1")
    assert (estimate.base, estimate.adapter, estimate.n) == (0.07, 0.45, 100)
    assert estimate.delta == pytest.approx(0.38)
    assert (estimate.right_to_wrong, estimate.wrong_to_right) == (2, 40)
    assert estimate.p_mcnemar == pytest.approx(scipy_stats.binomtest(2, 42).pvalue)
    assert 0.25 < estimate.ci95[0] < 0.38 < estimate.ci95[1] < 0.51


def test_forgetting_is_the_loss_and_its_upper_bound_is_one_sided() -> None:
    loss = stats.forgetting(*one_seed(pairs(right_both=900, lost=60, gained=40)), "accuracy")
    assert loss.delta == pytest.approx(0.02)
    assert (loss.right_to_wrong, loss.wrong_to_right) == (60, 40)
    assert loss.delta < loss.ci95_upper < loss.ci95[1]
    half_an_item = 0.5 / 1000
    assert loss.ci95_upper == pytest.approx(0.02 + 1.645 * 0.00998 + half_an_item, abs=0.001)


def test_nats_weigh_documents_by_their_tokens() -> None:
    nats = stats.nats_difference([1.0, 3.0, 2.0], [1.5, 3.0, 2.0], [300, 100, 100])
    assert (nats.base, nats.adapter) == pytest.approx((1.6, 1.9))
    assert nats.delta == pytest.approx(0.3)
    assert nats.ci95[0] < 0.3 < nats.ci95[1]
    assert (nats.tokens, nats.documents) == (500, 3)


@pytest.mark.parametrize(
    ("losses", "tokens", "message"),
    [([1.0], [5], "at least 2"), ([1.0, math.inf], [5, 5], "finite"), ([1.0, 1.0], [5, 0], "one token")],
)
def test_nats_of_unusable_documents_are_refused(losses: Scores, tokens: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stats.nats_difference(losses, losses, tokens)


def test_family_scores_are_kept_apart() -> None:
    base, adapter = [1.0, 0.0, 0.0, 0.5], [1.0, 1.0, 1.0, 0.99]
    first, second = stats.family_scores(base, [adapter], ["b", "a", "a", "b"], held_out={"b"})
    assert (first.family, first.n, first.base_right, first.adapter_right, first.held_out) == ("a", 2, 0, 2, False)
    assert (second.family, second.n, second.base_right, second.adapter_right, second.held_out) == ("b", 2, 1, 1, True)
    assert first.adapter_ci95 == wilson(2, 2)


@pytest.mark.parametrize(
    ("lost", "gained", "outcome"), [(0, 80, "passed"), (0, 50, "undecided"), (0, 20, "failed"), (30, 20, "failed")]
)
def test_the_gain_gate(lost: int, gained: int, outcome: Outcome) -> None:
    gate = stats.gain_gate(*pairs(lost=lost, gained=gained, wrong_both=100 - lost - gained), 0.45)
    assert gate.outcome == outcome
    assert (gate.n_to_decide is not None) == (outcome == "undecided")
    assert gate.observed == pytest.approx((gained - lost) / 100)


@pytest.mark.parametrize(
    ("n", "lost", "outcome"),
    [(1200, 2, "passed"), (1200, 11, "undecided"), (120, 0, "undecided"), (1200, 40, "failed")],
)
def test_the_forgetting_gate(n: int, lost: int, outcome: Outcome) -> None:
    gate = stats.forgetting_gate(*pairs(right_both=n - lost, lost=lost), 0.01)
    assert gate.outcome == outcome
    if outcome == "undecided":
        assert gate.n_to_decide is not None
        assert gate.n_to_decide > n
        assert f"{gate.n_to_decide:,}" in gate.explanation


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1))
def test_a_gate_never_passes_and_fails_at_once(low: float, width: float, margin: float) -> None:
    loss = (low, low + width)
    outcome = stats.non_inferiority(loss, margin)
    assert (outcome == "passed") == (low + width < margin)
    assert (outcome == "failed") == (low > margin)


def test_the_power_formula_by_hand() -> None:
    base, adapter, families = pairs(right_both=900, lost=55, gained=45)
    z = 1.6448536 + 0.8416212
    expected = z**2 * (0.1 - 0.01**2) / 0.02**2
    assert stats.items_to_decide(adapter, base, families, 0.03) == math.ceil(expected)
    clusters = [str(number // 2) for number in range(1000)]
    assert stats.items_to_decide(adapter, base, families, 0.03, clusters=clusters) == pytest.approx(
        2 * expected, rel=0.1
    )


def test_a_bound_that_is_met_exactly_is_never_decided() -> None:
    base, adapter, families = pairs(gained=50, wrong_both=50)
    assert stats.items_to_decide(base, adapter, families, 0.5) is None
    assert stats.items_to_decide(base, adapter, families, 0.5001) is None


def test_the_worst_gate_decides_the_verdict() -> None:
    def gate(outcome: Outcome) -> GateResult:
        return GateResult(gate="g", bound=0, observed=0, interval=(0, 0), outcome=outcome, n=1, explanation="")

    passed, failed, undecided = gate("passed"), gate("failed"), gate("undecided")
    assert stats.verdict_of([passed, undecided, failed]) == "failed"
    assert stats.verdict_of([passed, undecided, passed]) == "undecided"
    assert stats.verdict_of([passed, passed]) == "passed"


def test_units_are_clusters_within_a_family() -> None:
    units = units_of([0.0] * 4, [1.0, 1.0, 0.0, 1.0], ["a", "a", "a", "b"], clusters=["x", "x", "y", "x"])
    assert [(unit.family, unit.total, unit.size) for unit in units] == [("a", 0.0, 1), ("a", 2.0, 2), ("b", 1.0, 1)]
