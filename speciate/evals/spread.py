"""How uneven a model is: by how much its true accuracy differs between families, with the luck of the items taken out.

0 is equally good everywhere; 0.5, the most there is, is perfect in half of the families and useless in the others.
Families count the same whatever their size, and are fixed by design: nothing is said of families not asked. Items are
taken to be independent, so clusters within a family make a model look more uneven than it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speciate.evals.intervals import DRAWS, Interval, Scores, coded
from speciate.evals.resampling import Array, drawn_sums

MOST = 0.5


@dataclass(frozen=True, slots=True)
class Spread:
    """A standard deviation between families, or a change of it, with its interval."""

    value: float
    interval: Interval


def spread(right: Sequence[int], n: Sequence[int], *, level: float = 0.95, seed: int = 0, draws: int = DRAWS) -> Spread:
    """Standard deviation of the true accuracy between families, from `right` of `n` items of each.

    Observed accuracies differ by chance too: ten families of 20 items, all at 50%, seem to spread by 0.11. The expected
    part of chance, p(1 - p)/(n - 1) of each family, is subtracted from the observed variance (method of moments;
    DerSimonian & Laird 1986, Controlled Clinical Trials 7, 177-188, with equal weights), and the rest is at least 0.

    The interval holds every spread under which the observed one is no rare event: the observed pattern of families is
    stretched or shrunk to that spread, noise is drawn within each family, and the ends are where a tail as far as the
    observed becomes rare (a bootstrap test turned round; DiCiccio & Romano 1990, International Statistical Review 58,
    59-76). Noise is drawn with two right and two wrong items more in each family, since perfect and useless families
    show none (Agresti & Coull 1998, The American Statistician 52, 119-126). Families more alike than chance allows say
    no more than that the spread may be 0. Raises ValueError on fewer than two families, or two items in one.
    """
    if len(right) != len(n) or not all(0 <= one <= of for one, of in zip(right, n, strict=True)):
        raise ValueError(f"{list(right)} right of {list(n)} are no counts by family")
    groups = [np.repeat([[0.0], [1.0]], [of - one, one], axis=0) for one, of in zip(right, n, strict=True)]
    return _measured(groups, level, seed, draws)[0][0]


def spread_difference(
    base: Scores,
    adapter: Scores,
    families: Sequence[str],
    *,
    level: float = 0.95,
    seed: int = 0,
    draws: int = DRAWS,
) -> Spread:
    """By how much the adapter is more uneven than the base, from the scores of both on the same items.

    A positive value is a specialist: better in some families than in others. The two intervals are put together with
    the correlation of their noise, which the same items share (MOVER; Zou 2007, Psychological Methods 12, 399-413).
    """
    if not len(base) == len(adapter) == len(families):
        raise ValueError(f"{len(base)} scores, {len(adapter)} and {len(families)} families do not belong together")
    both = np.stack([np.asarray(base, dtype=np.float64), np.asarray(adapter, dtype=np.float64)], axis=1)
    if not ((both >= 0) & (both <= 1)).all():
        raise ValueError("a score is outside [0, 1], or not a number")
    names, codes = coded(families)
    groups = [both[codes == code] for code in range(len(names))]
    (old, new), moved = _measured(groups, level, seed, draws)
    shared = float(np.corrcoef(moved[0], moved[1]).item(0, 1))
    value = new.value - old.value
    down, up = new.value - new.interval[0], new.interval[1] - new.value
    down_base, up_base = old.value - old.interval[0], old.interval[1] - old.value
    low = value - math.sqrt(max(down**2 + up_base**2 - 2 * shared * down * up_base, 0.0))
    high = value + math.sqrt(max(up**2 + down_base**2 - 2 * shared * up * down_base, 0.0))
    return Spread(value, (max(low, -MOST), min(high, MOST)))


def _measured(groups: Sequence[Array], level: float, seed: int, draws: int) -> tuple[list[Spread], list[Array]]:
    """The spread of every model (a column of `groups`), and how far drawn noise moves the observed variance of each."""
    if len(groups) < 2 or min(map(len, groups)) < 2:
        counts = [len(group) for group in groups]
        raise ValueError(f"items of the families: {counts}; a spread needs 2 families, and 2 items in each")
    random = np.random.default_rng(seed)
    noise = np.stack([_noise(group, random, draws) for group in groups], axis=1)
    means = np.stack([group.mean(axis=0) for group in groups], axis=1)
    errors = np.stack([group.var(axis=0, ddof=1) / len(group) for group in groups], axis=1)
    found: list[Spread] = []
    moved: list[Array] = []
    for mean, error, off in zip(means, errors, noise, strict=True):
        chance = float(error.mean()) * (1 - 1 / len(groups))
        observed = float(mean.var()) - chance
        pattern = mean - mean.mean() if mean.var() > 0 else np.linspace(-1.0, 1.0, len(groups))
        pattern = pattern / pattern.std()
        along, across = pattern @ off / len(groups), off.var(axis=0)
        across -= across.mean()
        value = math.sqrt(max(observed, 0.0))
        tail = (1 - level) / 2
        low = _edge(along, across, observed, 1 - tail, 0.0, value)
        high = _edge(along, across, max(observed, 0.0), tail, value, MOST)
        found.append(Spread(min(value, MOST), (min(low, value), max(high, min(value, MOST)))))
        moved.append(value * 2 * along + across)
    return found, moved


def _noise(group: Array, random: np.random.Generator, draws: int) -> Array:
    """How far means of drawn items are off the mean of a family: a row for each model."""
    models = group.shape[1]
    # Two right and two wrong for each model; of two models in every combination, which adds no correlation.
    corners = np.array([[0.0], [0.0], [1.0], [1.0]]) if models == 1 else np.indices((2, 2)).reshape(2, 4).T
    urn = np.concatenate([group, corners])
    urn = urn[np.lexsort(urn.T)]
    off = drawn_sums(list(urn.T), random, draws) / len(urn) - urn.mean(axis=0)[:, None]
    return off * math.sqrt(len(urn) / len(group))


def _edge(along: Array, across: Array, observed: float, tail: float, low: float, high: float) -> float:
    """The spread of which the observed variance is the `tail` quantile, between two limits."""
    for _ in range(30):
        middle = (low + high) / 2
        if float(np.quantile(middle * (middle + 2 * along) + across, tail)) < observed:
            low = middle
        else:
            high = middle
    return (low + high) / 2 if low > 0 else 0.0
