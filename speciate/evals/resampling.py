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
FURTHEST = 8.0
"""Standard errors to which a bootstrap-t end is held: ten skewed units may put it anywhere."""
CHUNK = 100_000
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
    errors: Array | None = None
    """The standard error of each drawn mean, from its own units."""

    def ends(self, level: float) -> tuple[float, float]:
        """Ends of the middle `level`, moved for skewed and small samples and by half a step."""
        if self.variance == 0:
            return self.estimate, self.estimate
        width = math.sqrt(self.unbiased / self.variance) * student(self.freedom, level)
        low, high = stretched(self.means - self.estimate, level, self.skewness, width)
        # The draws are spread over a step before they are stretched.
        half = self.step / 2 * width / quantile(level)
        return self.estimate + low - half, self.estimate + high + half

    def studentised_ends(self, level: float) -> tuple[float, float]:
        """Ends of the middle `level` where every draw is measured in its own standard error: the bootstrap-t.

        DiCiccio & Efron 1996, Statistical Science 11, 189-228. For heavy tails on one side, where a sample without the
        tail has a low mean and a small error at once. Draws whose units are all alike have no error and say nothing;
        where there are no others the ends are the estimate. No end is further than `FURTHEST` standard errors.
        """
        if self.errors is None:
            raise ValueError("the draws were made without their errors")
        error = math.sqrt(self.unbiased)
        some = self.errors > 1e-6 * error
        if not some.any():
            return self.estimate, self.estimate
        tails = [(1 - level) / 2, (1 + level) / 2]
        measured = np.quantile((self.means - self.estimate)[some] / self.errors[some], tails)
        low, high = np.clip(measured, -FURTHEST, FURTHEST)
        return self.estimate - float(high) * error, self.estimate - float(low) * error


def stretched(deviations: Array, level: float, skewness: float, width: float) -> tuple[float, float]:
    """Ends of the middle `level` of drawn deviations of a mean, where `width` takes the place of the normal quantile.

    The draws give the form, which BCa (Efron 1987, JASA 82, 171-185) corrects for `skewness`: of a mean its bias and
    its acceleration both are a sixth of that. The t quantile gives the width (Hesterberg 2015, The American
    Statistician 69, 371-386); further out among the draws, where he takes it, a sample of five has none.
    """
    z = quantile(level)
    low, high = np.quantile(deviations, [_below(-z, skewness / 6), _below(z, skewness / 6)])
    return float(low) * width / z, float(high) * width / z


def quantile(level: float) -> float:
    """The normal quantile that bounds the middle `level` of the distribution: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


def student(freedom: float, level: float) -> float:
    """The t quantile that bounds the middle `level`."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def _below(z: float, acceleration: float) -> float:
    moved = acceleration + z
    left = 1 - acceleration * moved
    return NormalDist().cdf(acceleration + moved / left) if left > 0 else float(z > 0)


def strata_of(codes: NDArray[np.intp], totals: Array, sizes: Array) -> list[Stratum]:
    """Units by the stratum that `codes` names, sorted; all in one stratum where one of them would have a single unit.

    The order of the units and the numbers of the strata do not matter to what is drawn, only the strata's order does.
    """
    if np.bincount(codes)[codes].min() == 1:
        codes = np.zeros_like(codes)
    order = np.lexsort((sizes, totals, codes))
    bounds = np.flatnonzero(np.diff(codes[order])) + 1
    return list(zip(np.split(totals[order], bounds), np.split(sizes[order], bounds), strict=True))


def redraw(strata: Sequence[Stratum], seed: int, draws: int, *, errors: bool = False) -> Redrawn:
    """Means of `draws` samples, each drawn with replacement within every stratum, which keeps its number of units.

    With `errors` each draw's own standard error is kept too, which takes twice as long.
    """
    random = np.random.default_rng(seed)
    size = math.fsum(float(sizes.sum()) for _, sizes in strata)
    estimate = math.fsum(float(total) for totals, _ in strata for total in totals) / size
    drawn: list[Array] = []
    # Powers of very small totals would vanish, so they are taken in units of the largest.
    unit = max(float(np.abs(totals - estimate * sizes).max()) for totals, sizes in strata) or 1.0
    squares, cubes, unbiased, known = 0.0, 0.0, 0.0, 0.0
    for totals, sizes in strata:
        off = (totals - estimate * sizes) / unit
        more = [off * off, off * sizes, sizes * sizes] if errors else []
        drawn.append(drawn_sums([off, sizes, *more], random, draws))
        off = off - off.mean()
        square, freedom = float(off @ off), max(len(off) - 1, 1)
        squares += square
        cubes += float(off @ off**2)
        unbiased += square * len(off) / freedom
        known += (square * len(off) / freedom) ** 2 / freedom
    moved, drawn_size = np.sum([sums[:2] for sums in drawn], axis=0)
    step = _step([totals for totals, _ in strata])
    if step:
        moved += step / unit * random.uniform(-0.5, 0.5, draws)
    moved /= drawn_size
    own = _errors([len(totals) for totals, _ in strata], drawn, moved) if errors else None
    return Redrawn(
        means=estimate + unit * moved,
        estimate=estimate,
        variance=squares * (unit / size) ** 2,
        unbiased=unbiased * (unit / size) ** 2,
        freedom=unbiased**2 / known if known else 1.0,
        skewness=cubes / squares**1.5 if squares else 0.0,
        step=step / size,
        errors=None if own is None else unit * own / drawn_size,
    )


def _errors(numbers: Sequence[int], drawn: Sequence[Array], moved: Array) -> Array:
    """The standard error of every drawn sum, from its sums in each stratum and by how much its mean has moved."""
    squares = np.zeros_like(moved)
    for n, (off, sizes, off_off, off_size, size_size) in zip(numbers, drawn, strict=True):
        around_mean = off_off - 2 * moved * off_size + moved**2 * size_size - (off - moved * sizes) ** 2 / n
        squares += n / (n - 1) * around_mean
    return np.sqrt(np.maximum(squares, 0.0))


def drawn_sums(columns: Sequence[Array], random: np.random.Generator, draws: int) -> Array:
    """The sum of every column over units drawn with replacement: a row for each column.

    Where many units share few outcomes, how often each outcome is drawn is multinomial: the same bootstrap, faster.
    Units that are alike stand together.
    """
    n = len(columns[0])
    table = np.stack(columns)
    first = np.flatnonzero(np.r_[True, (np.diff(table) != 0).any(axis=0)])
    if OUTCOME * len(first) < n:
        return table[:, first] @ random.multinomial(n, np.diff(np.r_[first, n]) / n, size=draws).T
    sums = np.repeat(n * table[:, :1], draws, axis=1)
    varied = [row for row in range(len(table)) if table[row].min() < table[row].max()]
    step = max(1, CHUNK // n)
    room = np.empty((min(step, draws), n))
    for start in range(0, draws, step):
        picked = random.integers(n, size=(min(step, draws - start), n))
        found = room[: len(picked)]
        for row in varied:
            # With `clip` numpy does not check the numbers, which are in range, and is three times as fast.
            table[row].take(picked, out=found, mode="clip").sum(axis=1, out=sums[row, start : start + len(picked)])
    return sums


def _step(strata: Sequence[Array]) -> float:
    """By how much a sum of whole totals moves at least when one unit takes another's place; 0 of other totals."""
    if not all(((totals == np.rint(totals)) & (np.abs(totals) < 2**53)).all() for totals in strata):
        return 0.0
    apart = [np.unique(np.diff(np.unique(totals))) for totals in strata]
    return float(np.gcd.reduce(np.concatenate([*apart, [0.0]]).astype(np.int64)))
