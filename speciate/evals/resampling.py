"""Drawing units again within their strata, and reading an interval of their mean off the draws.

A bootstrap cannot see what the sample does not hold; `intervals.py` widens it where that matters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Stratum = tuple[Array, Array]
"""Units that are drawn among each other: their totals and their sizes, sorted."""

OUTCOME = 16
"""To count how often one outcome is drawn takes about as long as to draw this many units."""
CHUNK = 250_000
"""Units drawn at a time; their numbers and totals stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class Redrawn:
    """Means of samples drawn again, and what is known of their distribution without drawing."""

    means: Array
    estimate: float
    """The mean of the sample itself."""
    variance: float
    """Of the drawn means."""
    unbiased: float
    """Of the estimate: a stratum of n units varies by n/(n - 1) more than its draws."""
    freedom: float
    """Degrees of freedom of `unbiased` (Satterthwaite 1946, Biometrics 2, 110-114)."""
    skewness: float
    """Of the drawn means; a sixth of it is the acceleration of BCa."""
    step: float
    """Between two values that the mean can take; 0 where it can take any."""

    def ends(self, level: float) -> tuple[float, float]:
        """Ends of the middle `level`, moved for small and skewed samples and by half a step."""
        from scipy.special import stdtrit

        if self.variance == 0:
            return self.estimate, self.estimate
        z = math.sqrt(self.unbiased / self.variance) * float(stdtrit(self.freedom, (1 + level) / 2))
        low, high = np.quantile(self.means, [accelerated(-z, self.skewness), accelerated(z, self.skewness)])
        return float(low) - self.step / 2, float(high) + self.step / 2


def accelerated(z: float, skewness: float) -> float:
    """The share of draws below the end that lies z standard errors out: BCa (Efron 1987, JASA 82, 171-185).

    Of a mean the bias correction equals the acceleration, a sixth of the skewness, so neither need be simulated.
    """
    shift = skewness / 6
    moved = shift + z
    left = 1 - shift * moved
    return NormalDist().cdf(shift + moved / left) if left > 0 else float(z > 0)


def strata_of(codes: NDArray[np.intp], totals: Array, sizes: Array) -> list[Stratum]:
    """Units by the stratum that `codes` names, sorted; all in one stratum where one of them would have a single unit.

    The order of the units and the numbers of the strata do not matter to what is drawn, only the strata's order does.
    """
    if np.bincount(codes)[codes].min() == 1:
        codes = np.zeros_like(codes)
    order = np.lexsort((sizes, totals, codes))
    bounds = np.flatnonzero(np.diff(codes[order])) + 1
    return list(zip(np.split(totals[order], bounds), np.split(sizes[order], bounds), strict=True))


def redraw(strata: Sequence[Stratum], seed: int, draws: int) -> Redrawn:
    """Means of `draws` samples, each drawn with replacement within every stratum, which keeps its number of units."""
    random = np.random.default_rng(seed)
    drawn_totals, drawn_sizes = np.zeros(draws), np.zeros(draws)
    for totals, sizes in strata:
        _draw(totals, sizes, random, drawn_totals, drawn_sizes)
    size = sum(float(sizes.sum()) for _, sizes in strata)
    estimate = math.fsum(float(total) for totals, _ in strata for total in totals) / size
    squares, cubes, unbiased, spread = 0.0, 0.0, 0.0, 0.0
    for totals, sizes in strata:
        off = totals - estimate * sizes
        off -= off.mean()
        square, freedom = float(off @ off), max(len(off) - 1, 1)
        squares += square
        cubes += float(off @ off**2)
        unbiased += square * len(off) / freedom
        spread += (square * len(off) / freedom) ** 2 / freedom
    step = _step([totals for totals, _ in strata])
    if step:
        drawn_totals += step * random.uniform(-0.5, 0.5, draws)
    return Redrawn(
        means=drawn_totals / drawn_sizes,
        estimate=estimate,
        variance=squares / size**2,
        unbiased=unbiased / size**2,
        freedom=unbiased**2 / spread if spread else 1.0,
        skewness=cubes / squares**1.5 if squares else 0.0,
        step=step / size,
    )


def _draw(totals: Array, sizes: Array, random: np.random.Generator, into_totals: Array, into_sizes: Array) -> None:
    """Adds the total and the size of every draw of one stratum.

    Where many units share few outcomes, how often each outcome is drawn is multinomial: the same bootstrap, faster.
    """
    n, draws = len(totals), len(into_totals)
    first = np.flatnonzero(np.r_[True, (np.diff(totals) != 0) | (np.diff(sizes) != 0)])
    if OUTCOME * len(first) < n:
        counts = random.multinomial(n, np.diff(np.r_[first, n]) / n, size=draws)
        into_totals += counts @ totals[first]
        into_sizes += counts @ sizes[first]
        return
    one_size = bool(sizes.min() == sizes.max())
    step = max(1, CHUNK // n)
    room = np.empty((min(step, draws), n))
    for start in range(0, draws, step):
        picked = random.integers(n, size=(min(step, draws - start), n), dtype=np.int32)
        found = room[: len(picked)]
        here = slice(start, start + len(picked))
        # With `clip` numpy does not check the numbers, which are in range, and is three times as fast.
        into_totals[here] += totals.take(picked, out=found, mode="clip").sum(axis=1)
        into_sizes[here] += n * sizes[0] if one_size else sizes.take(picked, out=found, mode="clip").sum(axis=1)


def _step(strata: Sequence[Array]) -> float:
    """By how much a sum of whole totals moves at least when one unit takes another's place; 0 of other totals."""
    if not all((totals == np.rint(totals)).all() for totals in strata):
        return 0.0
    apart = [np.unique(np.diff(np.unique(totals))) for totals in strata]
    return float(np.gcd.reduce(np.concatenate([*apart, [0.0]]).astype(np.int64)))
