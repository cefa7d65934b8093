"""Confidence intervals: of a paired mean difference, of changed pairs, of a share.

Pure functions of numbers; they know nothing of models, items or files. What an interval cannot see: items that are no
fair sample of the niche, a wrong verifier, contamination of the training data, and the luck of one training seed.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit

Interval = tuple[float, float]
Scores = Sequence[float]

DRAWS = 10_000
RARE = 30
"""With fewer units than this off the commonest outcome, a bootstrap cannot show how far the truth may lie."""


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """What is resampled: one item, or several that share a template instance."""

    family: str
    total: float
    """Sum of the differences of its items."""
    size: int
    """Number of its items, or of what else the mean is taken over."""

    @property
    def mean(self) -> float:
        return self.total / self.size


def paired_bootstrap(
    base: Scores,
    adapter: Scores,
    families: Sequence[str],
    *,
    level: float = 0.95,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """Two-sided interval of the mean difference over items, adapter minus base.

    A percentile bootstrap (Efron 1979), *stratified* by family: items are drawn again within each family, and every
    draw keeps the families' sizes. The families are few (about ten) and chosen by design, so the question is how the
    adapter does on more items of these families. The alternative, drawing whole families again, asks about families
    never seen; with ten clusters that interval is much too narrow (Cameron, Gelbach & Miller 2008), and held-out
    families answer the question better. Items that share something finer than the family (one template instance, one
    passage) are not independent: name it in `clusters`, and whole clusters are drawn within their family.

    Three repairs of the plain percentile interval, each of which can only widen it:
    * percentiles are taken further out, by the t quantile and the n/(n - families) of a small sample (Hesterberg 2015,
      The American Statistician 69, 371-386); where a family has a single unit, all units form one stratum;
    * a bootstrap never draws what the sample happens not to hold: with no change among n units it has no width. Where
      fewer than `RARE` units differ from the commonest outcome of their family, the interval is widened to Tango's
      score interval, and to the exact bound on an outcome that none of n units showed (Clopper-Pearson; one-sided at
      95% it is the rule of three, 3/n);
    * it contains the observed difference.

    Swapping base and adapter negates the interval exactly, and the order of the items does not matter. One unit says
    nothing: (-1, 1). Raises ValueError on no items, unequal lengths and scores outside [0, 1].
    """
    units = units_of(base, adapter, families, clusters)
    if len(units) == 1:
        return -1.0, 1.0
    mirrored = sorted(Unit(unit.family, -unit.total, unit.size) for unit in units)
    low, high = _widened(max(units, mirrored), level, seed, draws)
    if units == mirrored:
        return min(low, -high), max(high, -low)
    return (low, high) if units > mirrored else (-high, -low)


def units_of(
    base: Scores, adapter: Scores, families: Sequence[str], clusters: Sequence[str] | None = None
) -> list[Unit]:
    """The units of paired scores, sorted: an item each, or a cluster each where `clusters` names them."""
    names = [str(number) for number in range(len(base))] if clusters is None else clusters
    lengths = {"base": len(base), "adapter": len(adapter), "families": len(families), "clusters": len(names)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the scores are not paired: {lengths}")
    if not base:
        raise ValueError("n = 0: there is no item to compare base and adapter on")
    if not all(0 <= score <= 1 for score in [*base, *adapter]):
        raise ValueError("a score is outside [0, 1], or not a number")
    members: dict[tuple[str, str], list[float]] = {}
    for old, new, family, name in zip(base, adapter, families, names, strict=True):
        members.setdefault((family, name), []).append(new - old)
    return sorted(Unit(family, math.fsum(values), len(values)) for (family, _), values in members.items())


def bootstrap(strata: Sequence[Sequence[Unit]], level: float, seed: int, draws: int = DRAWS) -> Interval:
    """Percentiles of the mean over samples drawn with replacement within each stratum, taken out for small samples.

    Raises ValueError unless there are more units than strata.
    """
    n = sum(map(len, strata))
    freedom = n - len(strata)
    if freedom < 1:
        raise ValueError(f"n = {n}: an interval needs more units than strata, and there are {len(strata)}")
    random = np.random.default_rng(seed)
    totals, sizes = np.zeros(draws), np.zeros(draws)
    for stratum in strata:
        ordered = sorted(stratum)
        total = np.array([unit.total for unit in ordered])
        size = np.array([unit.size for unit in ordered], dtype=np.float64)
        one_size = bool(size.min() == size.max())
        step = max(1, 1_000_000 // len(ordered))
        for start in range(0, draws, step):
            stop = min(start + step, draws)
            picked = random.integers(len(ordered), size=(stop - start, len(ordered)), dtype=np.int32)
            totals[start:stop] += total.take(picked).sum(axis=1)
            sizes[start:stop] += size.sum() if one_size else size.take(picked).sum(axis=1)
    tail = NormalDist().cdf(-math.sqrt(n / freedom) * float(stdtrit(freedom, (1 + level) / 2)))
    low, high = np.quantile(totals / sizes, [tail, 1 - tail])
    return float(low), float(high)


def tango(gained: float, lost: float, n: float, level: float = 0.95) -> Interval:
    """Score interval of (gained - lost) / n for n pairs, of which `gained` changed to right and `lost` to wrong.

    Tango 1998 (Statistics in Medicine 17, 891-908). Keeps its coverage where changes are few, even none, and never
    leaves [-1, 1]. Fractions may be given for counts: scores between 0 and 1 vary less than such counts would, so the
    interval is too wide rather than too narrow. Raises ValueError on n = 0.
    """
    if n <= 0 or min(gained, lost) < 0 or gained + lost > n * (1 + 1e-9):
        raise ValueError(f"{gained} gained and {lost} lost do not fit into n = {n} pairs")
    observed = (gained - lost) / n
    squared_z = quantile(level) ** 2

    def excluded(delta: float) -> bool:
        linear = (2 * n - gained + lost) * delta - gained - lost
        root = math.sqrt(max(linear * linear + 8 * n * lost * delta * (1 - delta), 0.0))
        lost_share = (root - linear) / (4 * n)
        return n * (observed - delta) ** 2 > squared_z * (2 * lost_share + delta * (1 - delta))

    return _edge(excluded, observed, -1.0), _edge(excluded, observed, 1.0)


def wilson(right: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a share (Wilson 1927, JASA 22, 209-212). One item says nothing: (0, 1).

    Raises ValueError on n = 0.
    """
    if not 0 <= right <= n or n == 0:
        raise ValueError(f"{right} right of n = {n} is no share")
    if n == 1:
        return 0.0, 1.0
    z = quantile(level)
    share = right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return (0.0 if right == 0 else centre - half), (1.0 if right == n else centre + half)


def quantile(level: float) -> float:
    """The normal quantile that bounds the middle `level` of the distribution: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


def _widened(units: list[Unit], level: float, seed: int, draws: int) -> Interval:
    strata: dict[str, list[Unit]] = {}
    for unit in units:
        strata.setdefault(unit.family, []).append(unit)
    if any(len(stratum) == 1 for stratum in strata.values()):
        strata = {"": units}
    low, high = bootstrap(list(strata.values()), level, seed, draws)
    items = sum(unit.size for unit in units)
    delta = math.fsum(unit.total for unit in units) / items
    outcomes = [Counter(unit.mean for unit in stratum) for stratum in strata.values()]
    if sum(seen.total() - max(seen.values()) for seen in outcomes) < RARE:
        effective = items**2 / sum(unit.size**2 for unit in units)
        gained = effective * math.fsum(max(unit.total, 0.0) for unit in units) / items
        lost = effective * math.fsum(max(-unit.total, 0.0) for unit in units) / items
        score_low, score_high = tango(gained, lost, effective, level)
        unseen = 1 - ((1 - level) / 2) ** (1 / effective)
        low, high = min(low, score_low, delta - unseen), max(high, score_high, delta + unseen)
    return max(-1.0, min(low, delta)), min(1.0, max(high, delta))


def _edge(excluded: Callable[[float], bool], inside: float, limit: float) -> float:
    """Where `excluded` turns true on the way from a point inside to the limit."""
    outside = limit
    while abs(outside - inside) > 1e-10:
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if excluded(middle) else (middle, outside)
    return outside
