"""Methods compared where they gain the same: what each forgets at one gain, over the settings that it was tried with.

A method is tried at several settings (learning rates), each of which gives a point: its gain and its forgetting. The
points that no other beats in both are its front, and between two of them the front is a line. What it forgets at a
gain is read off there. Every quantity is drawn again with seeds and items, settings chosen anew in each draw, so that
the interval holds the choice too.

Blind to settings that were not tried, and to seeds that differ in nothing. Three seeds say little of seeds: their part
of each interval is stretched by Student's t.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speciate.evals.intervals import DRAWS, coded
from speciate.evals.resampling import Array, quantile, student

REACHED = 0.95
"""Of the reference's best gain: where methods are compared."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One method at one setting: for each seed (rows) the change of each item's score (columns), adapter minus base."""

    gains: Array
    """Of the niche's items."""
    losses: Array
    """Of the general items, base minus adapter: what was forgotten is positive."""


@dataclass(frozen=True, slots=True)
class AtGain:
    """What one method forgets where it gains as much as asked."""

    forgetting: float | None
    """Null where the method never gains as much."""
    forgetting_ci95: tuple[float, float] | None
    removed: float | None
    """rho: share of the reference's forgetting that is gone; null where the reference's is not above 0 for sure."""
    removed_ci95: tuple[float, float] | None
    p_value: float | None
    """One-sided, of forgetting no less than the reference."""
    reached: float
    """Share of the draws in which the method gains as much; in the others it counts as the worst that can be."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods at one gain."""

    gain: float
    """95% of what the reference gains at its best setting."""
    reference: AtGain
    methods: Mapping[str, AtGain]


def at_gain(points: Array, gain: Array | float) -> Array:
    """Forgetting at `gain` on the front of `points` (..., settings, 2: gain and forgetting); inf where no point gains
    as much. Below the point that gains least, what that one forgets: nothing was tried there.
    """
    gains, losses = points[..., 0], points[..., 1]
    wanted = np.broadcast_to(np.asarray(gain, dtype=np.float64)[..., None], gains.shape)
    above = gains[..., :, None] >= gains[..., None, :]
    better = (
        above
        & (losses[..., :, None] <= losses[..., None, :])
        & (points[..., :, None, :] != points[..., None, :, :]).any(axis=-1)
    )
    front = ~better.any(axis=-2)
    high = np.where(front & (gains >= wanted), gains, np.inf).argmin(axis=-1)[..., None]
    low = np.where(front & (gains < wanted), gains, -np.inf).argmax(axis=-1)[..., None]

    def at(values: Array, place: NDArray[np.intp]) -> Array:
        return np.take_along_axis(values, place, axis=-1)[..., 0]

    aim = wanted[..., 0]
    reached, below = at(gains, high) >= aim, (front & (gains < wanted)).any(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (aim - at(gains, low)) / (at(gains, high) - at(gains, low))
        on_line = at(losses, low) + share * (at(losses, high) - at(losses, low))
    return np.where(reached, np.where(below, on_line, at(losses, high)), np.inf)


def compared(
    methods: Mapping[str, Sequence[Setting]],
    reference: str,
    niche_families: Sequence[str],
    general_families: Sequence[str],
    *,
    share: float = REACHED,
    seed: int = 0,
    draws: int = DRAWS,
) -> Comparison:
    """All methods where they gain `share` of the reference's best gain. Seeds and items are those of all methods alike.

    Raises ValueError where the methods were not tried with the same seeds on the same items.
    """
    settings = [(name, setting) for name, tried in methods.items() for setting in tried]
    shapes = {(setting.gains.shape, setting.losses.shape) for _, setting in settings}
    if len(shapes) != 1 or len(niche_families) != settings[0][1].gains.shape[1]:
        raise ValueError(f"the settings are not of the same seeds and items: {sorted(shapes)}")
    if len(general_families) != settings[0][1].losses.shape[1]:
        raise ValueError(f"{len(general_families)} families for {settings[0][1].losses.shape[1]} general items")
    random = np.random.default_rng(seed)
    drawn = _drawn(
        [(np.stack([setting.gains for _, setting in settings]), niche_families),
         (np.stack([setting.losses for _, setting in settings]), general_families)],
        random,
        draws,
    )  # fmt: skip
    points = np.stack(drawn, axis=-1)
    """(draws + 1, settings, 2), the first being the estimate."""
    names = [name for name, _ in settings]
    own = {name: points[:, [place for place, other in enumerate(names) if other == name]] for name in methods}
    gain = share * own[reference][..., 0].max(axis=-1)
    forgotten = {name: at_gain(tried, gain) for name, tried in own.items()}
    base = forgotten[reference]
    sure = float(np.quantile(base[1:], 0.025)) > 0 and base[0] > 0
    found = {name: _read(values, base, sure=sure) for name, values in forgotten.items()}
    rest = {name: one for name, one in found.items() if name != reference}
    return Comparison(float(gain[0]), found[reference], rest)


def _drawn(parts: Sequence[tuple[Array, Sequence[str]]], random: np.random.Generator, draws: int) -> tuple[Array, ...]:
    """Means of each part's (settings, seeds, items) over seeds and items, drawn again together: items within families,
    seeds by normal weights that all settings and both parts share.
    """
    seeds = parts[0][0].shape[1]
    stretch = student(seeds - 1, 0.95) / quantile(0.95) if seeds > 1 else 0.0
    weights = random.standard_normal((draws, seeds)) * stretch / np.sqrt(max(1, seeds * (seeds - 1)))
    found: list[Array] = []
    for values, families in parts:
        by_seed = values.mean(axis=2)
        estimate = by_seed.mean(axis=1)
        items = _items(values.mean(axis=1), families, random, draws)
        moved = weights @ (by_seed - estimate[:, None]).T
        found.append(np.concatenate([estimate[None], items + moved]))
    return tuple(found)


def _items(values: Array, families: Sequence[str], random: np.random.Generator, draws: int) -> Array:
    """(draws, settings): means over items that are drawn with replacement within each family."""
    _, codes = coded(families)
    total = np.zeros((draws, len(values)))
    for code in np.unique(codes):
        of_family: NDArray[np.float64] = values[:, codes == code]
        count = of_family.shape[1]
        # A family of n items varies by n/(n - 1) more than its draws.
        wider = np.sqrt(count / (count - 1)) if count > 1 else 1.0
        picked = random.multinomial(count, np.full(count, 1 / count), size=draws)
        mean = of_family.sum(axis=1)
        total += mean + wider * (picked @ of_family.T - mean)
    return total / values.shape[1]


def _read(values: Array, reference: Array, *, sure: bool) -> AtGain:
    """The estimate and the interval of one method; the first of `values` is the estimate."""
    reached = np.isfinite(values[1:])
    share = float(reached.mean())
    if not np.isfinite(values[0]):
        return AtGain(None, None, None, None, None, share)
    ends = _ends(values[1:])
    if not sure:
        return AtGain(float(values[0]), ends, None, None, None, share)
    # A draw in which the reference forgets next to nothing says nothing of a share.
    some = reference[1:] > 0
    with np.errstate(invalid="ignore"):
        removed = 1 - values[1:][some] / reference[1:][some]
    p_value = (1 + int((values[1:] >= reference[1:]).sum())) / (len(values))
    return AtGain(float(values[0]), ends, float(1 - values[0] / reference[0]), _ends(removed), min(1.0, p_value), share)


def _ends(values: Array) -> tuple[float, float]:
    """The middle 95%, whose ends are values that were drawn, since some may be infinite."""
    low, high = np.quantile(values, [0.025, 0.975], method="closest_observation")
    return float(low), float(high)
