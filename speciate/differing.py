"""Where two resolved recipes differ: as values, which may be of different versions of the schema."""

from collections.abc import Mapping
from typing import Any

from speciate.storage import canonical_json


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Where two resolved recipes differ, as `train.lora.r: 8 -> 16`; a list is compared as a whole."""
    old, new = dict(leaves(before)), dict(leaves(after))
    return [
        f"{key}: {_shown(old, key)} -> {_shown(new, key)}"
        for key in [*old, *(key for key in new if key not in old)]
        if key not in old or key not in new or old[key] != new[key]
    ]


def leaves(section: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    """The values of a resolved recipe by their dotted keys; a list is one value."""
    found: list[tuple[str, Any]] = []
    for key, value in section.items():
        found += leaves(value, f"{path}{key}.") if isinstance(value, Mapping) else [(f"{path}{key}", value)]
    return found


def _shown(values: Mapping[str, Any], key: str) -> str:
    return canonical_json(values[key]).decode() if key in values else "(absent)"
