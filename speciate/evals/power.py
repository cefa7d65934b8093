"""How many items a comparison needs, before it is run.

Answers hold for paired right-or-wrong answers and many items. They cannot see the luck of the seed, which no number of
items takes away; where few items change, the guards of `intervals.py` ask for more.
"""

import math
from statistics import NormalDist


def items_for(
    difference: float, discordant: float, *, level: float = 0.95, power: float = 0.8, design_effect: float = 1.0
) -> int:
    """Items that show a true `difference` of right answers with this `power`, if `discordant` of all items change.

    n = (z_a + z_b)^2 (p - d^2) / d^2 (Miller 2024, arXiv 2411.00640, section 5), to the nearest item: an interval of
    `level` then leaves out 0 with probability `power`. Where 10% change that is 7,841 for one point, 1,954 for two. A
    difference from a margin instead of 0 is asked for in the same way. Clusters multiply it by `design_effect`, which
    `cluster_effect` gives. Raises ValueError on a difference of 0 or above `discordant`: no more can be gained than
    changes.
    """
    _check(discordant, level, power, design_effect)
    if not 0 < abs(difference) <= discordant:
        raise ValueError(f"a difference of {difference} is not between 0 and the share that changes, {discordant}")
    variance = discordant - difference**2
    return max(1, round(design_effect * _factor(level, power) * variance / difference**2))


def minimum_detectable(
    n: int, discordant: float, *, level: float = 0.95, power: float = 0.8, design_effect: float = 1.0
) -> float:
    """The smallest difference that n items show with this power: the inverse of `items_for`.

    Infinite where even changes in one direction only would not be enough.
    """
    _check(discordant, level, power, design_effect)
    if n < 1:
        raise ValueError(f"n = {n}: nothing is shown without items")
    factor = design_effect * _factor(level, power)
    difference = math.sqrt(factor * discordant / (n + factor))
    return difference if difference <= discordant else math.inf


def cluster_effect(size: float, correlation: float) -> float:
    """By how much clusters of `size` items raise the number needed: 1 + (size - 1) * correlation.

    Kish 1965, Survey Sampling, section 5.4. `correlation` is that of the differences of two items of a cluster.
    """
    if size < 1 or not 0 <= correlation <= 1:
        raise ValueError(f"clusters of {size} items that correlate by {correlation}: at least 1, and between 0 and 1")
    return 1 + (size - 1) * correlation


def _factor(level: float, power: float) -> float:
    normal = NormalDist()
    return (normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)) ** 2


def _check(discordant: float, level: float, power: float, design_effect: float) -> None:
    if not 0 < discordant <= 1:
        raise ValueError(f"the share of items that change is above 0 and at most 1, not {discordant}")
    if not (0 < level < 1 and 0.5 <= power < 1):
        raise ValueError(f"a level of {level} with power {power}: a level is between 0 and 1, power from 0.5 to 1")
    if not design_effect >= 1:
        raise ValueError(f"a design effect of {design_effect}: clusters never make items worth more, it is at least 1")
