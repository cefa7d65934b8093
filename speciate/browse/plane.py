"""The plane of gain and forgetting: columns of numbers that a page draws by itself, and its Pareto front."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from speciate.registry import overview, query


def points(database: sqlite3.Connection, wanted: query.Wanted) -> dict[str, Any]:
    """The values of `Points`; as columns 100,000 entries are 6 MB of JSON, as objects they would be 20."""
    found, without = overview.measured(database, wanted)
    places: dict[str, int] = {}
    of = [places.setdefault(one.species, len(places)) for one in found]
    return {
        "species": list(places),
        "of": of,
        "version": [one.version for one in found],
        "name": [one.name for one in found],
        "verdict": [one.verdict for one in found],
        "gain": [_points(one.gain) for one in found],
        "gain_low": [_points(one.gain_low) for one in found],
        "forgetting": [_points(one.forgetting) for one in found],
        "forgetting_upper": [_points(one.forgetting_upper) for one in found],
        "front": front([(one.gain, one.forgetting) for one in found]),
        "without": without,
    }


def front(places: Sequence[tuple[float, float]]) -> list[int]:
    """The places of those that no other beats in gain (more is better) and forgetting (less is), largest gain first."""
    kept: list[int] = []
    least = float("inf")
    last: tuple[float, float] | None = None
    for number in sorted(range(len(places)), key=lambda number: (-places[number][0], places[number][1])):
        if places[number][1] < least or places[number] == last:
            kept.append(number)
            least, last = places[number][1], places[number]
    return kept


def _points(share: float) -> float:
    return round(100 * share, 2)
