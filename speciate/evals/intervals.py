"""Confidence intervals: of a paired mean difference, of a mean per token, of changed pairs, of a share.

Pure functions of numbers; they know nothing of models, items or files. What an interval cannot see: items that are no
fair sample of the niche, a wrong verifier, contamination of the training data, and the luck of one training seed
(`hierarchical.py` sees that one).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speciate.evals.resampling import Array, Redrawn, Stratum, quantile, redraw, strata_of

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

    A bootstrap (Efron 1979), *stratified* by family: items are drawn again within each family, and every draw keeps
    the families' sizes. The families are few (about ten) and chosen by design, so the question is how the adapter does
    on more items of these families. The alternative, drawing whole families again, asks about families never seen;
    with ten clusters that interval is much too narrow (Cameron, Gelbach & Miller 2008), and held-out families answer
    the question better. Items that share something finer than the family (one template instance, one passage) are not
    independent: name it in `clusters`, and whole clusters are drawn within their family.

    The plain percentile interval lets a loss as large as the margin pass up to 8 times in 100 where changes are few
    and all in one direction. Five repairs:
    * it is as wide as Student's t asks for, with the n/(n - 1) of each small family (Hesterberg 2015, The American
      Statistician 69, 371-386; Satterthwaite 1946); where a family has a single unit, all units form one stratum;
    * both ends are shifted by the skewness (BCa, Efron 1987, JASA 82, 171-185);
    * a sum of right and wrong moves in whole steps: draws are spread over a step, the ends go half a step further out;
    * a bootstrap never draws what the sample happens not to hold: with no change among n units it has no width. Where
      fewer than `RARE` units differ from the commonest outcome of their family, the interval is widened to Tango's
      score interval and a quarter of a step, and to the exact bound on an outcome that none of n units showed
      (Clopper-Pearson; one-sided at 95% it is the rule of three, 3/n);
    * it contains the observed difference.
    With them, right-or-wrong items of one family let such a loss pass 5 times in 100 at the worst margin and share of
    changes, by enumeration (`scripts/measure_statistics.py`).

    Swapping base and adapter negates the interval exactly, and the order of the items does not matter. One unit says
    nothing: (-1, 1). Raises ValueError on no items, unequal lengths and scores outside [0, 1].
    """
    _, codes, totals, sizes = _grouped(base, adapter, families, clusters)
    if len(totals) == 1:
        return -1.0, 1.0
    sign = orientation(codes, totals, sizes)
    strata = strata_of(codes, totals if sign >= 0 else -totals, sizes)
    low, high = bounded(redraw(strata, seed, draws), strata, level)
    if sign == 0:
        return min(low, -high), max(high, -low)
    return (low, high) if sign > 0 else (-high, -low)


def score_bootstrap(
    scores: Scores,
    families: Sequence[str],
    *,
    level: float = 0.95,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """Two-sided interval of one model's mean score, drawn and repaired as `paired_bootstrap` is.

    Where few units are off the commonest score it is widened to Wilson's interval instead of Tango's, since no score is
    below 0. Of right and wrong items that are independent `wilson` says the same and needs no draws. One unit says
    nothing: (0, 1).
    """
    _, codes, totals, sizes = _grouped([0.0] * len(scores), scores, families, clusters)
    if len(totals) == 1:
        return 0.0, 1.0
    strata = strata_of(codes, totals, sizes)
    low, high = bounded(
        redraw(strata, seed, draws), strata, level, lambda right, _, n, level: wilson(min(right, n), n, level)
    )
    return max(0.0, low), high


def units_of(
    base: Scores, adapter: Scores, families: Sequence[str], clusters: Sequence[str] | None = None
) -> list[Unit]:
    """The units of paired scores, sorted: an item each, or a cluster each where `clusters` names them."""
    names, codes, totals, sizes = _grouped(base, adapter, families, clusters)
    rows = zip(codes.tolist(), totals.tolist(), sizes.tolist(), strict=True)
    return sorted(Unit(names[code], total, int(size)) for code, total, size in rows)


def ratio_bootstrap(
    totals: Scores,
    sizes: Scores,
    *,
    level: float = 0.95,
    seed: int = 0,
    strata: Sequence[str] | None = None,
    draws: int = DRAWS,
) -> Interval:
    """Interval of a mean per token, `sum(totals) / sum(sizes)`, over documents or items of unequal size.

    Whole documents are drawn again, since the tokens of one are not independent, and numerator and denominator with
    them (Davison & Hinkley 1997, section 2.4), within each stratum if `strata` names them. The ends are repaired for
    small and skewed samples as those of `paired_bootstrap` are, and are the outer ones of these and a bootstrap-t. Of
    losses or KL in nats there is no upper limit, so there is no widest interval to fall back on: an equal ratio in
    every document gives an interval without width, which says no more than that these documents agree, and a tail that
    no document shows is not in it. Of thirty heavy-tailed documents (lognormal, sigma 1) it holds the truth 93 times
    in 100. Raises ValueError on fewer than two documents.
    """
    total, size = np.asarray(totals, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    names = ["" for _ in totals] if strata is None else list(strata)
    if not len(total) == len(size) == len(names):
        raise ValueError(f"{len(total)} totals, {len(size)} sizes and {len(names)} strata do not belong together")
    if len(total) < 2:
        raise ValueError(f"n = {len(total)}: an interval of a mean per token needs at least 2 documents")
    if not (np.isfinite(total).all() and np.isfinite(size).all() and (size > 0).all()):
        raise ValueError("every document needs a finite total and a size above 0")
    _, codes = coded(names)
    redrawn = redraw(strata_of(codes, total, size), seed, draws, errors=True)
    lows, highs = zip(redrawn.ends(level), redrawn.studentised_ends(level), strict=True)
    return min(*lows, redrawn.estimate), max(*highs, redrawn.estimate)


def clustered_standard_error(values: Scores, clusters: Sequence[str]) -> float:
    """Standard error of the mean of `values`, where those of one cluster are not independent.

    sqrt(C/(C - 1) * sum over clusters of (sum of its deviations)^2) / n (Liang & Zeger 1986, Biometrika 73, 13-22;
    Miller 2024, arXiv 2411.00640, section 2.2). With one value a cluster it is sd/sqrt(n). Families fixed by design
    are no clusters. Needs a few dozen clusters to be trusted. Raises ValueError on fewer than two.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values and {len(clusters)} clusters do not belong together")
    names, codes = coded(clusters)
    if len(names) < 2:
        raise ValueError(f"{len(names)} clusters: a standard error needs at least 2")
    array = np.asarray(values, dtype=np.float64)
    sums = np.bincount(codes, array - array.mean())
    return math.sqrt(len(sums) / (len(sums) - 1) * float(sums @ sums)) / len(array)


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


def wilson(right: float, n: float, level: float = 0.95) -> Interval:
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


def orientation(codes: NDArray[np.intp], totals: Array, sizes: Array) -> int:
    """1 or -1 by which of the units and their negatives comes first in order, 0 where they are the same."""
    here, there = np.lexsort((sizes, totals, codes)), np.lexsort((sizes, -totals, codes))
    for mine, other in ((totals[here], -totals[there]), (sizes[here], sizes[there])):
        if len(differ := np.flatnonzero(mine != other)):
            return 1 if mine[differ[0]] > other[differ[0]] else -1
    return 0


def bounded(
    redrawn: Redrawn,
    strata: Sequence[Stratum],
    level: float,
    score: Callable[[float, float, float, float], Interval] = tango,
) -> Interval:
    """Ends of a mean within [-1, 1], around the estimate, and widened to a score interval where changes are rare."""
    low, high = redrawn.ends(level)
    delta = redrawn.estimate
    rare = sum(len(totals) - int(np.unique(totals / sizes, return_counts=True)[1].max()) for totals, sizes in strata)
    if rare < RARE:
        total, size = (np.concatenate(columns) for columns in zip(*strata, strict=True))
        items = float(size.sum())
        effective = items**2 / float(size @ size)
        gained = effective * math.fsum(total[total > 0]) / items
        lost = -effective * math.fsum(total[total < 0]) / items
        score_low, score_high = score(gained, lost, effective, level)
        unseen = 1 - ((1 - level) / 2) ** (1 / effective)
        quarter = 1 / (4 * effective)
        low = min(low, score_low - quarter, delta - unseen)
        high = max(high, score_high + quarter, delta + unseen)
    return max(-1.0, min(low, delta)), min(1.0, max(high, delta))


def _grouped(
    base: Scores, adapter: Scores, families: Sequence[str], clusters: Sequence[str] | None
) -> tuple[list[str], NDArray[np.intp], Array, Array]:
    """Names of the families, and of each unit its family's number, the sum of its differences, and its size."""
    lengths = {"base": len(base), "adapter": len(adapter), "families": len(families)}
    lengths["clusters"] = len(families if clusters is None else clusters)
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the scores are not paired: {lengths}")
    if not len(base):
        raise ValueError("n = 0: there is no item to compare base and adapter on")
    old, new = np.asarray(base, dtype=np.float64), np.asarray(adapter, dtype=np.float64)
    if not all(((scores >= 0) & (scores <= 1)).all() for scores in (old, new)):
        raise ValueError("a score is outside [0, 1], or not a number")
    names, codes = coded(families)
    differences = new - old
    if clusters is None:
        return names, codes, differences, np.ones(len(codes))
    members: dict[tuple[int, str], list[float]] = {}
    for code, name, difference in zip(codes.tolist(), clusters, differences.tolist(), strict=True):
        members.setdefault((code, name), []).append(difference)
    totals, sizes = [math.fsum(values) for values in members.values()], [len(values) for values in members.values()]
    return names, np.array([code for code, _ in members]), np.array(totals), np.array(sizes, dtype=np.float64)


def coded(names: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """The distinct names in order, and the number of each name among them."""
    distinct = sorted(set(names))
    number = {name: place for place, name in enumerate(distinct)}
    return distinct, np.fromiter((number[name] for name in names), dtype=np.intp, count=len(names))


def _edge(excluded: Callable[[float], bool], inside: float, limit: float) -> float:
    """Where `excluded` turns true on the way from a point inside to the limit."""
    outside = limit
    while abs(outside - inside) > 1e-10:
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if excluded(middle) else (middle, outside)
    return outside
