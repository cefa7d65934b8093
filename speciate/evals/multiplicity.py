"""Several comparisons at once: p-values adjusted so that one lucky comparison among many is not called a finding.

Blind to comparisons that were made and not passed in: adjust over everything that was tried.
"""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the input's order (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    The smallest of m is multiplied by m, the next by m - 1 and so on, and none is below one before it. Rejecting where
    the adjusted value is at most 0.05 keeps the chance of any false rejection at 5% whatever the dependence between
    the comparisons. Raises ValueError on what is no probability.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"not all of {list(p_values)} are p-values: a p-value is in [0, 1]")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(np.minimum(values[order] * np.arange(len(values), 0, -1), 1.0))
    return adjusted.tolist()
