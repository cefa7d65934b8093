"""Several samples of one item: what share of items is solved within k tries.

It cannot see whether the samples were independent: a temperature of 0 gives one answer n times.
"""

import math
from collections.abc import Sequence

import numpy as np

from speciate.evals.intervals import DRAWS, Interval, score_bootstrap


def pass_at_k(n: int, right: int, k: int) -> float:
    """Chance that at least one of k tries is right, from `right` of n: 1 - C(n - right, k) / C(n, k).

    Unbiased (Chen et al. 2021, arXiv 2107.03374, section 2.1), as a product that neither overflows nor cancels. Raises
    ValueError on k > n: what would happen beyond the samples cannot be told without a model of it.
    """
    if not 0 <= right <= n:
        raise ValueError(f"{right} right of n = {n} samples is no count")
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs at least {max(k, 1)} samples of every item and k of at least 1; n = {n}")
    if right == 0 or n - right < k:
        return float(right > 0)
    return -math.expm1(float(np.sum(np.log1p(-k / np.arange(n - right + 1, n + 1)))))


def pass_at_k_interval(
    counts: Sequence[tuple[int, int]],
    k: int,
    *,
    families: Sequence[str] | None = None,
    level: float = 0.95,
    clusters: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[float, Interval]:
    """Mean pass@k over items, each given as (samples, right of them), and its interval.

    Items are what is drawn again: the chance in their samples is part of what items differ by, so drawing samples too
    would count it twice. The interval is `score_bootstrap`, with its guards: it has a width where all items are solved,
    and one item says nothing, (0, 1). To compare two models, give `pass_at_k` of their items to `paired_bootstrap`.
    Raises ValueError on no items and on fewer than k samples.
    """
    if not counts:
        raise ValueError("n = 0: there is no item to tell pass@k of")
    scores = [pass_at_k(n, right, k) for n, right in counts]
    names = [""] * len(scores) if families is None else families
    interval = score_bootstrap(scores, names, level=level, clusters=clusters, seed=seed, draws=draws)
    return math.fsum(scores) / len(scores), interval
