"""Keys whose values some arms share, each value once beside its arms: where recipes differ, what figures come from."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from speciate.records import Arm, Comparison
from speciate.reports import words
from speciate.reports.plain import line, visible


class Shares(NamedTuple):
    """A key, its values, and the arms that have each; no arms where all have it."""

    key: str
    values: Sequence[tuple[str, Sequence[int]]]


def shares_of(key: str, values: Mapping[int, str], arms: int) -> Shares:
    """The arms by the value that each has."""
    having: dict[str, list[int]] = {}
    for number, value in values.items():
        having.setdefault(value, []).append(number)
    return Shares(key, [(value, [] if len(numbers) == arms else numbers) for value, numbers in having.items()])


def recipe(comparison: Comparison, arms: int, most: int = 40) -> list[Shares]:
    """Keys on which recipes differ."""
    found: list[Shares] = []
    for difference in comparison.recipe[:most]:
        values = {number: _value(value) or "not set" for number, value in enumerate(difference.values[:arms])}
        found.append(shares_of(line(difference.key), values, arms))
    return found


def provenance(arms: Sequence[Arm], most: int = 40) -> list[Shares]:
    """What figures come from: values that all arms share once, others with their arms."""
    told: dict[str, dict[int, str]] = {}
    for number, arm in enumerate(arms):
        base = f"{line(arm.base.get('name', 'unknown'))} {line(arm.base.get('revision') or '', 44)}".strip()
        own = {
            "base": f"{base} ({words.short(arm.base.get('digest', 'no digest'))})",
            "runs": ", ".join(line(run) for run in arm.runs[:6]) + (" …" if len(arm.runs) > 6 else ""),
            **_grown(arm),
            **{key: value for key, value in list(arm.provenance.items())[:most] if key not in ("base", "runs")},
        }
        for key, value in own.items():
            told.setdefault(line(key, 40), {})[number] = _value(value)
    return [shares_of(key, values, len(arms)) for key, values in told.items()]


def _grown(arm: Arm) -> dict[str, str]:
    if arm.alone:
        return {}
    return {
        "seeds": words.seeds(arm.seeds[:12]).partition(" ")[2],
        "adapters": ", ".join(words.short(digest) for digest in arm.adapters[:12]),
    }


def _value(text: str, most: int = 160) -> str:
    shown = visible(text[:most]).strip()
    return shown if len(text) <= most else f"{shown}… ({len(text) - most:,} more characters)"
