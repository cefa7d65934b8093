"""Paired statistics: is the adapter better on its niche, and did it lose anything elsewhere.

Pure functions of scores. Always paired: the n-th score of the base and of the adapter belong to the same item, so the
difficulty of the items cancels (Miller 2024, arXiv 2411.00640, section 4). A score is in [0, 1] and 1.0 is right. All
means are over items (micro): a family counts by its number of items. `families` and `clusters` are those of
`intervals.paired_bootstrap`. Numbers speak of this adapter, not of its recipe: the luck of the seed is not in them.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Literal

from scipy.special import bdtr

from speciate.evals.hierarchical import hierarchical_bootstrap
from speciate.evals.intervals import Interval, Scores, paired_bootstrap, quantile, ratio_bootstrap, units_of, wilson
from speciate.evals.multiplicity import holm
from speciate.records import Baseline, Estimate, FamilyScore, Forgetting, GateResult, Nats, Outcome

ONE_SIDED = 0.90
"""The ends of a two-sided 90% interval are the one-sided 95% bounds."""
POWER = 0.80
MOST_ITEMS = 1_000_000
"""A larger number of items is no advice: `n_to_decide` is None then."""


def mcnemar(right_to_wrong: int, wrong_to_right: int) -> float:
    """Exact two-sided p-value that both directions of change are equally likely (McNemar 1947; exact binomial form).

    Without a change nothing speaks against it: 1.0. Blind to clusters, so with clusters it is too small.
    """
    if min(right_to_wrong, wrong_to_right) < 0:
        raise ValueError(f"counts below zero: {right_to_wrong} right to wrong, {wrong_to_right} wrong to right")
    changed = right_to_wrong + wrong_to_right
    return min(1.0, 2 * float(bdtr(min(right_to_wrong, wrong_to_right), changed, 0.5))) if changed else 1.0


def changes(base: Scores, adapter: Scores) -> tuple[int, int]:
    """(right to wrong, wrong to right), where right is a score of 1.0 and everything below it is wrong."""
    pairs = [(old >= 1.0, new >= 1.0) for old, new in zip(base, adapter, strict=True)]
    return pairs.count((True, False)), pairs.count((False, True))


def paired_estimate(
    base: Scores,
    adapters: Sequence[Scores],
    families: Sequence[str],
    metric: str,
    seed: int = 0,
    *,
    clusters: Sequence[str] | None = None,
) -> Estimate:
    """The mean difference, adapter minus base, with its interval and the counts of changed items.

    `adapters` are those of several seeds, or of one.
    """
    return estimate_between([base], adapters, families, metric, seed, clusters=clusters)


def estimate_between(
    firsts: Sequence[Scores],
    seconds: Sequence[Scores],
    families: Sequence[str],
    metric: str,
    seed: int = 0,
    *,
    clusters: Sequence[str] | None = None,
) -> Estimate:
    """The mean difference, second minus first, over pairs of models that answered the same items; the first may be one
    for all. Models of several seeds are paired in order, which is as good as any order: their seeds are independent.
    """
    interval = hierarchical_bootstrap(firsts, seconds, families, clusters=clusters, seed=seed)
    pairs = list(zip(firsts if len(firsts) > 1 else [firsts[0]] * len(seconds), seconds, strict=True))
    changed = [changes(first, second) for first, second in pairs]
    right_to_wrong, wrong_to_right = (sum(counts[side] for counts in changed) for side in (0, 1))
    return Estimate(
        metric=metric,
        base=_mean_of_all(firsts),
        adapter=_mean_of_all(seconds),
        delta=_mean_of_all([_differences(first, second) for first, second in pairs]),
        ci95=interval,
        n=len(firsts[0]),
        right_to_wrong=right_to_wrong,
        wrong_to_right=wrong_to_right,
        p_mcnemar=mcnemar(right_to_wrong, wrong_to_right) if len(pairs) == 1 else None,
        seeds=len(pairs),
    )


def forgetting(
    base: Scores,
    adapters: Sequence[Scores],
    families: Sequence[str],
    metric: str,
    seed: int = 0,
    *,
    clusters: Sequence[str] | None = None,
    nats: Nats | None = None,
) -> Forgetting:
    """The mean loss, base minus adapter, over the items of the general suite, and its upper one-sided 95% bound."""
    gain = paired_estimate(base, adapters, families, metric, seed, clusters=clusters)
    low, _ = hierarchical_bootstrap([base], adapters, families, level=ONE_SIDED, clusters=clusters, seed=seed)
    return Forgetting(
        metric=metric,
        base=gain.base,
        adapter=gain.adapter,
        delta=0.0 - gain.delta,
        ci95=(0.0 - gain.ci95[1], 0.0 - gain.ci95[0]),
        ci95_upper=0.0 - low,
        n=gain.n,
        right_to_wrong=gain.right_to_wrong,
        wrong_to_right=gain.wrong_to_right,
        p_mcnemar=gain.p_mcnemar,
        nats=nats,
        seeds=gain.seeds,
    )


def nats_difference(
    base_losses: Scores, adapter_losses: Scores, tokens: Sequence[int], seed: int = 0, *, size: int | None = None
) -> Nats:
    """Rise of the loss on a fixed text, adapter minus base, each document weighted by its tokens.

    A loss is the mean over one document in nats per token, and `tokens` says over how many it was taken; `size` are the
    bytes of all documents, by which the loss in bits per byte is known. Whole
    documents are drawn again, since the tokens of one are not independent. A loss has no upper limit, so there is no
    widest interval to fall back on: fewer than two documents raise ValueError, and an equal rise in every document
    gives an interval without width, which says no more than that these documents agree.
    """
    if not len(base_losses) == len(adapter_losses) == len(tokens):
        counts = f"{len(base_losses)} of the base, {len(adapter_losses)} of the adapter, {len(tokens)} token counts"
        raise ValueError(f"the losses are not paired: {counts}")
    if len(tokens) < 2:
        raise ValueError(f"n = {len(tokens)}: an interval of the loss needs at least 2 documents")
    if min(tokens) < 1 or not all(map(math.isfinite, [*base_losses, *adapter_losses])):
        raise ValueError("every document needs at least one token and a finite loss")
    rows = list(zip(base_losses, adapter_losses, tokens, strict=True))
    total = sum(tokens)
    before = math.fsum(old * count for old, _, count in rows)
    after = math.fsum(new * count for _, new, count in rows)
    delta = math.fsum((new - old) * count for old, new, count in rows) / total
    low, high = ratio_bootstrap([(new - old) * count for old, new, count in rows], tokens, seed=seed)
    return Nats(
        base=before / total,
        adapter=after / total,
        delta=delta,
        ci95=(low, high),
        tokens=total,
        documents=len(rows),
        bits_per_byte=(before / size / math.log(2), after / size / math.log(2)) if size else None,
    )


def family_scores(
    base: Scores,
    adapters: Sequence[Scores],
    families: Sequence[str],
    held_out: Collection[str] = (),
    chance: Mapping[str, float] | None = None,
    clusters: Sequence[str] | None = None,
) -> list[FamilyScore]:
    """The scores of base and adapter in each family, by name; `adapters` are those of several seeds, or of one."""
    places: dict[str, list[int]] = {}
    for place, family in enumerate(families):
        places.setdefault(family, []).append(place)
    scores: list[FamilyScore] = []
    for family, members in sorted(places.items()):
        before = [base[place] for place in members]
        after = [[adapter[place] for place in members] for adapter in adapters]
        grouped = None if clusters is None else [clusters[place] for place in members]
        gain = paired_estimate(before, after, [family] * len(members), "", clusters=grouped)
        scores.append(
            FamilyScore(
                family=family,
                n=len(members),
                base_right=sum(score >= 1.0 for score in before),
                adapter_right=sum(score >= 1.0 for scores in after for score in scores),
                base=gain.base,
                adapter=gain.adapter,
                base_ci95=share_interval([before], grouped),
                adapter_ci95=share_interval(after, grouped),
                delta=gain.delta,
                delta_ci95=gain.ci95,
                p_holm=gain.p_mcnemar,
                chance=(chance or {}).get(family, 0.0),
                held_out=family in held_out,
            )
        )
    if len(adapters) > 1:
        return scores
    adjusted = holm([score.p_holm for score in scores if score.p_holm is not None])
    return [score.model_copy(update={"p_holm": p}) for score, p in zip(scores, adjusted, strict=True)]


def share_interval(models: Sequence[Scores], clusters: Sequence[str] | None = None) -> Interval:
    """95% interval of a mean score: Wilson's where it is a share of independent items, else a bootstrap's.

    `models` are those of several seeds, or one.
    """
    if len(models) == 1 and clusters is None and all(score in (0.0, 1.0) for score in models[0]):
        return wilson(sum(score == 1.0 for score in models[0]), len(models[0]))
    zeros = [0.0] * len(models[0])
    low, high = hierarchical_bootstrap([zeros], models, [""] * len(zeros), clusters=clusters)
    return max(0.0, low), high


def baseline(
    name: str, solved: Mapping[str, bool], base: Mapping[str, float], adapter: Mapping[str, float]
) -> Baseline:
    """What needs no model beside base and adapter, on the items (by digest) that it was tried on.

    Raises KeyError where one of the two did not answer such an item, ValueError where there is none.
    """
    count = sum(solved.values())
    return Baseline(
        name=name,
        solved=count,
        n=len(solved),
        ci95=wilson(count, len(solved)),
        base_solved=sum(base[item] >= 1.0 for item in solved),
        adapter_solved=sum(adapter[item] >= 1.0 for item in solved),
        adapter_only=sum(adapter[item] >= 1.0 and not done for item, done in solved.items()),
    )


def non_inferiority(loss: Interval, margin: float) -> Outcome:
    """Whether a loss is below the margin, from its two-sided 90% interval, that is two one-sided 95% bounds.

    `passed` means proved: the upper bound is below the margin. A loss that is merely not significant proves nothing.
    """
    low, high = loss
    return "passed" if high < margin else "failed" if low > margin else "undecided"


def gain_gate(
    base: Scores,
    adapter: Scores,
    families: Sequence[str],
    min_gain: float,
    seed: int = 0,
    *,
    clusters: Sequence[str] | None = None,
) -> GateResult:
    """Passed where the lower one-sided 95% bound of the gain is `min_gain` or more, failed where the upper is less."""
    interval = paired_bootstrap(base, adapter, families, level=ONE_SIDED, clusters=clusters, seed=seed)
    low, high = interval
    outcome: Outcome = "passed" if low >= min_gain else "failed" if high < min_gain else "undecided"
    needed = items_to_decide(base, adapter, families, min_gain, clusters=clusters)
    return _gate("min_gain", min_gain, _difference(base, adapter), interval, outcome, len(base), needed)


def forgetting_gate(
    base: Scores,
    adapter: Scores,
    families: Sequence[str],
    max_forgetting: float,
    seed: int = 0,
    *,
    clusters: Sequence[str] | None = None,
) -> GateResult:
    """Passed where the upper one-sided 95% bound of the loss is below the bound, failed where the lower is above it."""
    interval = paired_bootstrap(adapter, base, families, level=ONE_SIDED, clusters=clusters, seed=seed)
    outcome = non_inferiority(interval, max_forgetting)
    needed = items_to_decide(adapter, base, families, max_forgetting, clusters=clusters)
    return _gate("max_forgetting", max_forgetting, _difference(adapter, base), interval, outcome, len(base), needed)


def verdict_of(gates: Iterable[GateResult]) -> Outcome:
    """`failed` if a gate failed, else `undecided` if one is, else `passed`: without gates nothing was asked for."""
    outcomes = {gate.outcome for gate in gates}
    return "failed" if "failed" in outcomes else "undecided" if "undecided" in outcomes else "passed"


def items_to_decide(
    base: Scores,
    adapter: Scores,
    families: Sequence[str],
    bound: float,
    *,
    clusters: Sequence[str] | None = None,
) -> int | None:
    """Items that would tell the difference from `bound` with 80% power at one-sided 5%, if it is what was observed.

    n = (z_a + z_b)^2 (p - d^2) / (d - bound)^2, where d is the mean difference and p the mean squared difference of
    the units; for right and wrong p is the share that changed (Miller 2024, section 5). A change not yet seen is
    allowed for by one unit in n + 2. Where fewer than `RARE` units will change, the widened interval takes the power
    down to about 70%. None where d is the bound, or more than `MOST_ITEMS` would be needed.
    """
    units = units_of(base, adapter, families, clusters)
    delta = _difference(base, adapter)
    squares = math.fsum(unit.size * unit.mean**2 for unit in units) / len(base)
    variance = max(squares - delta * delta, 1 / (len(units) + 2))
    factor = (quantile(ONE_SIDED) + NormalDist().inv_cdf(POWER)) ** 2 * variance * len(base) / len(units)
    if factor >= MOST_ITEMS * (delta - bound) ** 2:
        return None
    return max(math.ceil(factor / (delta - bound) ** 2), len(base) + 1)


def _gate(
    gate: Literal["min_gain", "max_forgetting"],
    bound: float,
    observed: float,
    interval: Interval,
    outcome: Outcome,
    n: int,
    needed: int | None,
) -> GateResult:
    noun, asked = ("gain", "at least") if gate == "min_gain" else ("forgetting", "below")
    low, high = (100 * end for end in interval)
    text = f"{noun} {100 * observed:+.1f} points, between {low:+.1f} and {high:+.1f} (90% interval, {n:,} items)"
    text += f"; asked: {asked} {100 * bound:.4g}"
    if outcome == "undecided":
        text += (
            f"; about {needed:,} items would decide"
            if needed
            else "; too close to the bound to be decided by more items"
        )
    return GateResult(
        gate=gate,
        bound=bound,
        observed=observed,
        interval=interval,
        outcome=outcome,
        n=n,
        n_to_decide=needed if outcome == "undecided" else None,
        explanation=text,
    )


def _mean_of_all(models: Sequence[Scores]) -> float:
    return math.fsum(map(math.fsum, models)) / sum(map(len, models))


def _differences(base: Scores, adapter: Scores) -> list[float]:
    return [new - old for old, new in zip(base, adapter, strict=True)]


def _difference(base: Scores, adapter: Scores) -> float:
    return math.fsum(new - old for old, new in zip(base, adapter, strict=True)) / len(base)
