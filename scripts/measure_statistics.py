"""How often the intervals hold the truth, how often a loss as large as the margin passes, and how long both take.

    uv run python scripts/measure_statistics.py --out evals/results/statistics/cpu-2-cores.json

Every row is a world of which the truth is known, drawn afresh for each experiment. A regular world has enough that
changes. In a guarded one the interval is wide on purpose, so that 95% is the least. One beyond breaks what is assumed
(normal seeds, tails that samples show), and its row says what that costs. Ten minutes on two cores.
"""

import argparse
import math
import os
import platform
import time
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from speciate.evals.hierarchical import hierarchical_bootstrap
from speciate.evals.intervals import Interval, paired_bootstrap, ratio_bootstrap, wilson
from speciate.evals.sampling import pass_at_k_interval
from speciate.evals.spread import spread, spread_difference

DRAWS = 2000
NOTE = "ends from 2,000 draws are off by 6% of a standard error, which costs less than 0.1 points of coverage"
ONE_SIDED = 0.90
Kind = Literal["regular", "guarded", "beyond"]
Array = NDArray[np.float64]
Shares = float | list[float]
Experiment = Callable[[np.random.Generator, int, float], Interval]


@dataclass(frozen=True)
class World:
    """One setting: how to draw an experiment and take its interval at a level, and what it should hold."""

    what: str
    setting: str
    kind: Kind
    truth: float
    experiment: Experiment


def pairs(
    kind: Kind, setting: str, sizes: list[int], lost: Shares, gained: Shares, cluster: int, correlation: float
) -> World:
    """Right-or-wrong items in families of these sizes. A cluster has 1 to 2 * cluster - 1 items, which partly agree."""
    family = np.repeat(np.arange(len(sizes)), sizes)
    down, up = (np.broadcast_to(np.asarray(share, dtype=float), len(sizes))[family] for share in (lost, gained))

    def experiment(random: np.random.Generator, seed: int, level: float) -> Interval:
        unit = np.arange(len(family))
        if cluster > 1:
            unit = np.repeat(unit, random.integers(1, 2 * cluster, len(family)))
        agreeing = random.random(len(unit)) < math.sqrt(correlation)
        chance = np.where(agreeing, random.random(len(family))[unit], random.random(len(unit)))
        base, adapter = chance < down[unit], (chance >= down[unit]) & (chance < (down + up)[unit])
        names = [str(number) for number in family[unit].tolist()]
        clusters = [str(number) for number in unit.tolist()] if cluster > 1 else None
        scores = base.astype(float).tolist(), adapter.astype(float).tolist()
        return paired_bootstrap(*scores, names, level=level, clusters=clusters, seed=seed, draws=DRAWS)

    return World("paired_bootstrap", setting, kind, float(np.mean(up - down)), experiment)


def partial(setting: str, kind: Kind, n: int, families: int) -> World:
    """Scores between right and wrong: uniform ones of the base, skewed ones of the adapter."""
    names = [str(item % families) for item in range(n)]

    def experiment(random: np.random.Generator, seed: int, level: float) -> Interval:
        scores = random.random(n).tolist(), random.beta(5, 1, n).tolist()
        return paired_bootstrap(*scores, names, level=level, seed=seed, draws=DRAWS)

    return World("paired_bootstrap", setting, kind, 5 / 6 - 1 / 2, experiment)


def seeds(
    setting: str, kind: Kind, n_seeds: int, n: int, effect: float, noise: float, cluster: int = 1, shift: float = 0.4
) -> World:
    """A probit model in five families: `effect` of a seed on all items, `noise` of seeds on an item."""
    unit = np.arange(n) // cluster
    names, clusters = [str(number % 5) for number in unit.tolist()], [str(number) for number in unit.tolist()]

    def experiment(random: np.random.Generator, seed: int, level: float) -> Interval:
        easy = math.sqrt(0.5) * (random.standard_normal(n) + random.standard_normal(n)[unit])
        own = math.sqrt(noise) * random.standard_normal((n_seeds, n))
        of_seed = effect * random.standard_normal((n_seeds, 1))
        adapter = shift + math.sqrt(1 - noise) * easy + own + of_seed > 0
        base = -0.3 + math.sqrt(0.7) * easy + math.sqrt(0.3) * random.standard_normal((1, n)) > 0
        scores = base.astype(float), adapter.astype(float)
        return hierarchical_bootstrap(*scores, names, level=level, clusters=clusters, seed=seed, draws=DRAWS)

    right = scipy_stats.norm.cdf([shift / math.sqrt(1 + effect**2), -0.3])
    return World("hierarchical_bootstrap", setting, kind, float(right[0] - right[1]), experiment)


def tokens(setting: str, kind: Kind, n: int, draw: Callable[[np.random.Generator, Array], Array]) -> World:
    """Documents of 50 to 400 tokens, with this mean of 0.03 in nats per token."""

    def experiment(random: np.random.Generator, seed: int, level: float) -> Interval:
        sizes = random.integers(50, 401, n).astype(float)
        totals = sizes * draw(random, sizes)
        return ratio_bootstrap(totals.tolist(), sizes.tolist(), level=level, seed=seed, draws=DRAWS)

    return World("ratio_bootstrap", setting, kind, 0.03, experiment)


def samples(setting: str, kind: Kind, items: int, n: int, k: int) -> World:
    """n samples of items whose chances follow a beta distribution."""
    chances = np.random.default_rng(0).beta(0.6, 1.2, 200_000)

    def experiment(random: np.random.Generator, seed: int, level: float) -> Interval:
        right = random.binomial(n, random.choice(chances, items)).tolist()
        return pass_at_k_interval([(n, count) for count in right], k, level=level, seed=seed, draws=DRAWS)[1]

    return World("pass_at_k_interval", setting, kind, float(np.mean(1 - (1 - chances) ** k)), experiment)


def uneven(setting: str, kind: Kind, families: int, n: int, width: float, before: float | None = None) -> World:
    """Accuracies in steps around one half; with `before`, the change from such a base on the same items."""
    shape = np.linspace(-1, 1, families)
    chance, earlier = 0.5 + width * shape, 0.5 + (before or 0.0) * shape
    family = np.repeat(np.arange(families), n)
    names = [str(number) for number in family.tolist()]

    def experiment(random: np.random.Generator, seed: int, level: float) -> Interval:
        if before is None:
            right = random.binomial(n, chance).tolist()
            return spread(right, [n] * families, level=level, seed=seed, draws=DRAWS).interval
        shared, own = random.random(len(family)), random.random((2, len(family)))
        drawn = np.where(random.random(own.shape) < 0.7, shared, own)
        scores = [
            (row < right[family]).astype(float).tolist() for row, right in zip(drawn, (earlier, chance), strict=True)
        ]
        return spread_difference(scores[0], scores[1], names, level=level, seed=seed, draws=DRAWS).interval

    truth = float(chance.std() - (0.0 if before is None else earlier.std()))
    return World("spread" if before is None else "spread_difference", setting, kind, truth, experiment)


Rows = list[tuple[str, list[int], Shares, Shares, int, float]]
CHANGES: Rows = [
    ("1 family, 500 items, 20% change", [500], 0.05, 0.15, 1, 0),
    ("10 families, 2,000 items, 10%", [200] * 10, 0.02, 0.08, 1, 0),
    ("50 families of 20 items, 25%", [20] * 50, 0.05, 0.20, 1, 0),
    ("10 families, 5,000 items, 5%", [500] * 10, 0.03, 0.02, 1, 0),
    ("5 families, 0 to 90% gained, 2,000 items", [400] * 5, [0, 0.05, 0, 0.1, 0], [0.9, 0.5, 0, 0.2, 0.05], 1, 0),
    ("12 families of 10 to 241 items, 40%", list(range(10, 251, 21)), 0.1, 0.3, 1, 0),
    ("2,000 items, losses only, 10%", [200] * 10, 0.10, 0.0, 1, 0),
    ("200 items, 40%", [20] * 10, 0.1, 0.3, 1, 0),
    ("300 clusters of 1 to 9 items, 10 families, 15%", [30] * 10, 0.05, 0.10, 5, 0.5),
    ("300 clusters of 1 to 19 items, 3 families, 40%", [100] * 3, 0.1, 0.3, 10, 0.8),
]
"""Setting, items or clusters of each family, shares lost and gained, items of a cluster and their correlation."""
FEW_CHANGES: Rows = [
    ("200 items, 5%", [20] * 10, 0.02, 0.03, 1, 0),
    ("1,000 items, losses only, 1%", [100] * 10, 0.01, 0.0, 1, 0),
    ("40 items, 40%", [10] * 4, 0.1, 0.3, 1, 0),
    ("40 clusters of 1 to 9 items, 40%", [20] * 2, 0.1, 0.3, 5, 0.5),
]
LOSSES: Rows = [
    ("2,000 items, losses only", [200] * 10, 0.01, 0.0, 1, 0),
    ("10 families, 4,000 items, 4% change", [400] * 10, 0.025, 0.015, 1, 0),
    ("10 families, 1,000 items, 22%", [100] * 10, 0.12, 0.10, 1, 0),
    ("2,000 items, all losses in one family of 10", [200] * 10, [0.2, *[0.0] * 9], 0.0, 1, 0),
    ("300 clusters of 1 to 9 items, 12%", [30] * 10, 0.07, 0.05, 5, 0.5),
]
"""Their mean loss is the margin."""


def worlds() -> Iterator[World]:
    """Everything whose coverage is measured."""
    yield from (pairs("regular", *row) for row in CHANGES)
    yield partial("300 items, scores in between, 10 families", "regular", 300, 10)
    for n in (3, 5, 10):
        for effect in (0.05, 0.2):
            yield seeds(f"{n} seeds with effects of {effect}, 500 items", "regular", n, 500, effect, 0.1)
        yield seeds(f"{n} seeds, 0.1, 2,000 items in clusters of 4", "regular", n, 2000, 0.1, 0.1, cluster=4)
    for n in (60, 200, 1000):
        yield tokens(f"{n} documents, gamma", "regular", n, lambda random, sizes: random.gamma(1.5, 0.02, len(sizes)))
    yield tokens("100 documents, normal", "regular", 100, lambda random, sizes: random.normal(0.03, 1 / np.sqrt(sizes)))
    yield samples("300 items, pass@4 of 8 samples", "regular", 300, 8, 4)
    yield uneven("10 families of 100 items, 0.4 to 0.6", "regular", 10, 100, 0.1)
    yield uneven("10 families of 100 items, 0.15 to 0.85", "regular", 10, 100, 0.35)
    yield uneven("10 families of 100 items, from one to the other", "regular", 10, 100, 0.35, before=0.1)
    yield from (pairs("guarded", *row) for row in FEW_CHANGES)
    for n in (3, 5, 10):
        yield seeds(f"{n} seeds without effects, 500 items", "guarded", n, 500, 0.0, 0.1)
    yield seeds("3 seeds without effects that answer by chance, 500 items", "guarded", 3, 500, 0.0, 0.8)
    yield seeds("2 seeds with effects of 0.1, 500 items", "guarded", 2, 500, 0.1, 0.1)
    yield uneven("10 families of 100 items, equally good", "guarded", 10, 100, 0.0)
    yield seeds("3 seeds with effects of 1, 500 items", "beyond", 3, 500, 1.0, 0.1)
    yield tokens(
        "30 documents, lognormal", "beyond", 30, lambda random, sizes: random.lognormal(-4.00656, 1, len(sizes))
    )


def losses() -> Iterator[World]:
    """Worlds for the gate, each with its own loss as the margin."""
    yield from (pairs("regular", *row) for row in LOSSES)
    yield seeds("3 seeds with effects of 0.05, 1,000 items", "regular", 3, 1000, 0.05, 0.1, shift=-0.4)
    yield seeds("5 seeds with effects of 0.05, 1,000 items", "regular", 5, 1000, 0.05, 0.1, shift=-0.4)


def coverage(world: World, experiments: int) -> dict[str, Any]:
    """How often the 95% interval holds the truth, and on which side it misses."""
    random = np.random.default_rng(2024)
    found = [world.experiment(random, seed, 0.95) for seed in range(experiments)]
    below = sum(world.truth < low - 1e-12 for low, _ in found) / experiments
    above = sum(world.truth > high + 1e-12 for _, high in found) / experiments
    held = 1 - below - above
    return {
        "interval": world.what,
        "setting": world.setting,
        "kind": world.kind,
        "coverage": round(held, 4),
        "standard_error": round(math.sqrt(held * (1 - held) / experiments), 4),
        "truth_below": round(below, 4),
        "truth_above": round(above, 4),
        "mean_width": round(float(np.mean([high - low for low, high in found])), 5),
        "truth": round(world.truth, 5),
    }


def false_passes(world: World, experiments: int) -> dict[str, Any]:
    """How often the upper one-sided 95% bound of a loss as large as the margin is below it: it should be 5% at most.

    A world's interval is of the gain, so the bound is its lower end turned round.
    """
    random, margin = np.random.default_rng(2025), -world.truth
    bounds = [-world.experiment(random, seed, ONE_SIDED)[0] for seed in range(experiments)]
    rate = sum(bound < margin - 1e-12 for bound in bounds) / experiments
    error = math.sqrt(rate * (1 - rate) / experiments)
    found = {"passed": round(rate, 4), "standard_error": round(error, 4), "margin": round(margin, 5)}
    return {"interval": world.what, "setting": world.setting} | found


def enumerated(n: int, most: int) -> dict[str, Any]:
    """The same for one family without simulation: all counts of changed items, each with its multinomial chance."""
    lost, gained = np.arange(most), np.arange(most)
    upper = np.full((most, most), np.inf)
    for down in range(most):
        for up in range(min(most, n - down + 1)):
            base, adapter = np.ones(n), np.ones(n)
            adapter[:down], base[down : down + up] = 0, 0
            scores = base.tolist(), adapter.tolist()
            upper[down, up] = -paired_bootstrap(*scores, ["f"] * n, level=ONE_SIDED, seed=most * down + up)[0]
    worst = {"passed": 0.0, "margin_items": 0.0, "gained_items": 0.0}
    above, tried = 0, 0
    for items in np.arange(0.5, most / 2, 0.05):
        for more in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, most / 4):
            shares = (items + more) / n, more / n
            first = scipy_stats.binom.pmf(lost, n, shares[0])[:, None]
            second = scipy_stats.binom.pmf(gained, n - lost[:, None], shares[1] / (1 - shares[0]))
            passed = float((first * second * (upper < items / n - 1e-12)).sum())
            tried, above = tried + 1, above + (passed > 0.05)
            if passed > worst["passed"]:
                worst = {"passed": round(passed, 4), "margin_items": float(items), "gained_items": more}
    return {"n": n, "settings": tried, "settings_above_5_percent": above, "worst": worst}


def wilsons(n: int) -> dict[str, Any]:
    """Exact coverage of Wilson's interval, mean and least over shares from 0.05 to 0.95."""
    ends = np.array([wilson(right, n) for right in range(n + 1)])
    held: list[float] = []
    for share in np.linspace(0.05, 0.95, 901):
        inside = (ends[:, 0] <= share) & (share <= ends[:, 1])
        held.append(float(scipy_stats.binom.pmf(np.arange(n + 1), n, share)[inside].sum()))
    return {"n": n, "mean": round(float(np.mean(held)), 4), "least": round(min(held), 4)}


def seconds() -> dict[str, float]:
    """Seconds of 10,000 draws over 10,000 items in ten families, the fastest of three."""
    random = np.random.default_rng(1)
    names = [str(item % 10) for item in range(10_000)]
    clusters = [str(number) for number in random.integers(2500, size=10_000).tolist()]
    partly, whole = random.random((4, 10_000)), random.integers(0, 2, (4, 10_000)).astype(float)
    many = random.integers(0, 2, (2, 100_000)).astype(float).tolist()
    timed: dict[str, Callable[[], object]] = {}
    for scores, name in ((whole, "right or wrong"), (partly, "scores in between")):
        base, adapter = scores[0].tolist(), scores[1].tolist()
        timed[f"paired, {name}"] = lambda b=base, a=adapter: paired_bootstrap(b, a, names)
        timed[f"paired, {name}, clusters"] = lambda b=base, a=adapter: paired_bootstrap(b, a, names, clusters=clusters)
        timed[f"3 seeds, {name}"] = lambda s=scores: hierarchical_bootstrap(s[:1], s[1:], names)
    timed["paired, right or wrong, 100,000 items"] = lambda: paired_bootstrap(many[0], many[1], names * 10)
    timed["mean per token"] = lambda: ratio_bootstrap(partly[0].tolist(), (1 + partly[1]).tolist())
    return {name: round(min(timeit.repeat(run, number=1, repeat=3)), 3) for name, run in timed.items()}


def main() -> None:
    """Measure, print, write after each."""
    from importlib.metadata import version

    from speciate.storage import write_json

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="worlds whose interval and setting have this text")
    chosen = parser.parse_args()
    started = time.perf_counter()
    found: dict[str, Any] = {
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("numpy", "scipy", "speciate")},
        "experiments": chosen.experiments,
        "draws": DRAWS,
        "draws_note": NOTE,
        "random_seeds": {"coverage": 2024, "false passes": 2025},
        "seconds_of_10000_draws": seconds(),
    }
    print(*(f"{taken:6.3f} s  {name}" for name, taken in found["seconds_of_10000_draws"].items()), sep="\n", flush=True)
    found["wilson"] = [wilsons(n) for n in (30, 100, 1000)]
    found["enumerated_false_passes"] = [enumerated(200, 60), enumerated(2000, 80)]
    print(*found["wilson"], *found["enumerated_false_passes"], sep="\n", flush=True)
    found["false_passes"], found["coverage"] = list[Any](), list[Any]()
    for world in (world for world in losses() if chosen.only in f"{world.what}: {world.setting}"):
        found["false_passes"].append(row := false_passes(world, chosen.experiments))
        print(f"{row['passed']:7.1%} pass  {world.what}: {world.setting}", flush=True)
    for world in (world for world in worlds() if chosen.only in f"{world.what}: {world.setting}"):
        found["coverage"].append(row := coverage(world, chosen.experiments))
        print(f"{row['coverage']:7.1%} {world.kind}  {world.what}: {world.setting}", flush=True)
        write_json(chosen.out, found | {"seconds": round(time.perf_counter() - started)})


if __name__ == "__main__":
    main()
