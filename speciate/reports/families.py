"""Families of an arm in the order in which they are shown: by role, the most improved first; of a base by itself the
best.

Pure; knows nothing of how they are shown.
"""

from collections.abc import Sequence
from math import isfinite
from typing import TypeVar

from speciate.records import Arm, FamilyScore, Role

T = TypeVar("T")


def by_role(arm: Arm) -> dict[Role, list[FamilyScore]]:
    """The families of each role that has any."""
    roles: dict[Role, list[FamilyScore]] = {
        "niche": [score for score in arm.families if not score.held_out],
        "transfer": [score for score in arm.families if score.held_out],
        "general": arm.general,
    }
    first = _best if arm.alone else _most_improved
    return {role: sorted(some, key=first) for role, some in roles.items() if some}


def counted(arm: Arm) -> int:
    """Families of all roles."""
    return len(arm.families) + len(arm.general)


def ends(ordered: Sequence[T], most: int) -> tuple[Sequence[T], Sequence[T], int]:
    """The first and the last ones, no more than `most` together, and how many between them are left out."""
    if len(ordered) <= most:
        return ordered, [], 0
    tail = most // 2
    return ordered[: most - tail], ordered[len(ordered) - tail :], len(ordered) - most


def shared(arm: Arm, most: int) -> dict[Role, int]:
    """How many families of each role are shown, where an arm may show `most`: none of the roles crowds out another."""
    roles = by_role(arm)
    given: dict[Role, int] = dict.fromkeys(roles, 0)
    for _ in range(min(most, counted(arm))):
        given[min(roles, key=lambda role: given[role] / len(roles[role]))] += 1
    return given


def _best(score: FamilyScore) -> tuple[float, str]:
    return (-score.base if isfinite(score.base) else 2.0), score.family


def _most_improved(score: FamilyScore) -> tuple[float, str]:
    return (-score.delta if isfinite(score.delta) else 2.0), score.family
