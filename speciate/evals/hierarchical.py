"""The interval of a recipe, not of one adapter: several seeds answered the same items, and both were drawn by chance.

Pure functions of numbers. What the interval cannot see: seeds that differ in nothing (one adapter counted three times),
a recipe chosen because its seeds did well, and everything that `intervals.py` cannot see.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speciate.evals.intervals import DRAWS, Interval, Scores, bounded, coded, orientation, paired_bootstrap
from speciate.evals.resampling import Array, redraw, strata_of, stretched, student

Answers = Sequence[Scores] | Array
"""Scores in [0, 1], a row for each seed and a column for each item."""


def hierarchical_bootstrap(
    base: Answers,
    adapter: Answers,
    families: Sequence[str],
    *,
    level: float = 0.95,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """Two-sided interval of the mean difference over seeds and items, adapter minus base.

    Every row of `adapter` is the adapter of one training seed, answering the same items; `base` has the same rows, or
    one that serves all. `families` are fixed by design and `clusters` are drawn whole, as in `paired_bootstrap`.

    Seeds and items are crossed, so drawing both again and simply adding up counts what belongs to one seed on one item
    three times (Owen 2007, Annals of Applied Statistics 1, 386-411), and drawing items within drawn clusters counts
    them twice (Davison & Hinkley 1997, section 3.8): such intervals hold the truth 98 times in 100. Here the variance
    is that of two-way clusters (Cameron, Gelbach & Miller 2011, JBES 29, 238-249), seeds + items - what they share,
    each by analysis of variance, and items less what they share is never below 0. A draw is the estimate, plus a mean
    of clusters drawn again scaled to that part, plus the seeds' deviations with normal weights: three seeds drawn with
    replacement have ten outcomes only (the wild bootstrap for few clusters; Cameron, Gelbach & Miller 2008). The ends
    are stretched by a t quantile for S - 1 seeds and C clusters (`_student`).

    Each interval holds the one that takes the seeds as given, so it keeps the guards of `paired_bootstrap` for rare
    changes, and is wide where seeds differ in nothing but chance on each item: three seeds that agree by luck prove
    little. One seed is `paired_bootstrap`; one item or cluster says nothing: (-1, 1). Swapping the sides negates the
    interval. Raises ValueError on no items, unequal lengths and scores outside [0, 1].
    """
    old, new = np.atleast_2d(np.asarray(base, dtype=np.float64)), np.atleast_2d(np.asarray(adapter, dtype=np.float64))
    if old.ndim != 2 or new.ndim != 2 or len(old) not in (1, len(new)) or old.shape[1] != new.shape[1]:
        raise ValueError(f"the scores are not paired: base is {old.shape}, adapter {new.shape} (seeds, items)")
    if len(new) == 1:
        alone = old[0].tolist(), new[0].tolist()
        return paired_bootstrap(*alone, families, level=level, clusters=clusters, seed=seed, draws=draws)
    codes, cells, sizes = _cells(old, new, families, clusters)
    if len(sizes) == 1:
        return -1.0, 1.0
    # A sum over seeds moves in whole steps where the scores do, so the sizes are multiplied and not the totals divided.
    sign = orientation(codes, cells.sum(axis=0), sizes * len(cells))
    found = [_interval(codes, side * cells, sizes, level, seed, draws) for side in ((sign,) if sign else (1, -1))]
    if sign:
        return found[0] if sign > 0 else (-found[0][1], -found[0][0])
    return min(found[0][0], -found[1][1]), max(found[0][1], -found[1][0])


def _interval(codes: NDArray[np.intp], cells: Array, sizes: Array, level: float, seed: int, draws: int) -> Interval:
    seeds = len(cells)
    strata = strata_of(codes, cells.sum(axis=0), sizes * seeds)
    items = redraw(strata, seed, draws)
    low, high = bounded(items, strata, level)
    codes = codes if len(strata) > 1 else np.zeros_like(codes)
    between = float(np.var(cells.sum(axis=1) / sizes.sum(), ddof=1)) / seeds
    left = max(items.unbiased - _shared(codes, cells, sizes), 0.0)
    if between == 0:
        return low, high
    total = between + left
    scale = math.sqrt(left / items.variance) if left else 0.0
    weights = np.random.default_rng([seed, seeds]).standard_normal(draws)
    deviations = math.sqrt(between) * weights + scale * (items.means - items.estimate)
    skewness = items.skewness * (left / total) ** 1.5
    down, up = stretched(deviations, level, skewness, _student(between / total, seeds, items.freedom, level))
    half_step = items.step / 2
    return max(-1.0, min(low, items.estimate + down - half_step)), min(1.0, max(high, items.estimate + up + half_step))


def _student(share: float, seeds: int, freedom: float, level: float) -> float:
    """The t quantile where `share` of the variance is known from few seeds and the rest from many units.

    Satterthwaite (1946) weighs the degrees of freedom by squared shares. With three seeds that covers 92% where their
    part is ten times the rest; a weight that nears 1 sooner, 3s^2 - 2s^3, covers 94.4 to 95.5% whatever the parts
    (normal effects, many units). With two seeds no weight serves all, and the quantiles themselves are averaged, which
    covers 94 to 98% (Cochran & Cox 1957, Experimental Designs, section 4.14).
    """
    if seeds == 2:
        return share * student(1, level) + (1 - share) * student(freedom, level)
    weight = share**2 * (3 - 2 * share)
    return student(1 / (weight / (seeds - 1) + (1 - weight) / freedom), level)


def _shared(codes: NDArray[np.intp], cells: Array, sizes: Array) -> float:
    """Variance of the mean that comes from seeds and clusters together: the residual of both in each stratum."""
    seeds = len(cells)
    off = cells - cells.sum() / (seeds * sizes.sum()) * sizes
    off -= off.mean(axis=0)
    found = 0.0
    for code in np.unique(codes):
        residual = off[:, codes == code]
        n = residual.shape[1]
        residual = residual - residual.mean(axis=1, keepdims=True)
        found += n / (n - 1) * float((residual**2).sum())
    return found / (seeds * (seeds - 1) * float(sizes.sum()) ** 2)


def _cells(
    old: Array, new: Array, families: Sequence[str], clusters: Sequence[str] | None
) -> tuple[NDArray[np.intp], Array, Array]:
    """Of each unit its family's number, its summed difference for each seed, and its size."""
    items = new.shape[1]
    if not items == len(families) == len(families if clusters is None else clusters):
        named = "" if clusters is None else f" and {len(clusters)} clusters"
        raise ValueError(f"the scores are not paired: {items} items, {len(families)} families{named}")
    if not items:
        raise ValueError("n = 0: there is no item to compare base and adapter on")
    if not all(((scores >= 0) & (scores <= 1)).all() for scores in (old, new)):
        raise ValueError("a score is outside [0, 1], or not a number")
    _, codes = coded(families)
    differences = new - old
    if clusters is None:
        return codes, differences, np.ones(items)
    numbers: dict[tuple[int, str], int] = {}
    units = np.array([numbers.setdefault(key, len(numbers)) for key in zip(codes.tolist(), clusters, strict=True)])
    cells = np.stack([np.bincount(units, row) for row in differences], dtype=np.float64)
    return np.array([code for code, _ in numbers]), cells, np.bincount(units).astype(np.float64)
