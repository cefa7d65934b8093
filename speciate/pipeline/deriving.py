"""Entries made of entries: another strength, and a weighted sum. Both keep what is known of the base, and say in words
how they were made.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speciate.errors import AdapterMismatch, InputError
from speciate.models.adapter import WEIGHTS
from speciate.models.contents import contents
from speciate.models.derived import Part, merged, rescaled
from speciate.pipeline.checked_loading import sound
from speciate.records import Card, Kinship, Parent, UnmeasuredCard
from speciate.records.cards import UNKNOWN
from speciate.registry import aliases, store

Derived = tuple[Path, Card, bool]
"""Entry, card, and whether it is new."""


def rescale(reference: str, strength: float, species: str = "") -> Derived:
    """Register an adapter that changes its base `strength` times as much. Raises InputError, AdapterMismatch."""
    if not math.isfinite(strength) or strength in (0.0, 1.0):
        what = {0.0: "the base alone", 1.0: "the adapter as it is"}.get(strength, "no number")
        raise InputError(f"a strength of {strength:g} is {what}; give one such as 0.5, 2 or -1")
    path, card = sound(reference)
    part = Part(_called(card), path, strength)
    origin = f"{_called(card)} at strength {strength:g}"
    return _registered(lambda folder: rescaled(part, folder), [card], "rescaled", species or card.species, origin)


def merge(references: Sequence[str], weights: Sequence[float] = (), species: str = "") -> Derived:
    """Register the weighted sum of several adapters of one base; every weight is 1 where none are given.

    Raises InputError, and AdapterMismatch where they have no sum.
    """
    factors = list(weights) or [1.0] * len(references)
    if len(references) < 2 or len(factors) != len(references):
        raise InputError(f"{len(references)} adapters and {len(factors)} weights: a sum has two or more, a weight each")
    if not all(math.isfinite(factor) and factor for factor in factors):
        raise InputError(f"every weight is a number other than zero, not {', '.join(f'{one:g}' for one in factors)}")
    found = [sound(reference) for reference in references]
    cards = [card for _, card in found]
    if len({card.digest for card in cards}) < len(cards):
        raise InputError(
            f"{', '.join(map(_called, cards))}: one adapter is named twice; `speciate registry rescale` gives another "
            "strength"
        )
    _check_bases(cards)
    parts = [Part(_called(card), path, factor) for (path, card), factor in zip(found, factors, strict=True)]
    name = species or (cards[0].species if len({card.species for card in cards}) == 1 else "")
    if not name:
        raise InputError("the adapters are of several species: name that of their sum with --species")
    origin = "the sum " + " + ".join(f"{part.weight:g} x {part.name}" for part in parts)
    return _registered(lambda folder: merged(parts, folder), cards, "merged", name, origin)


def _check_bases(cards: Sequence[Card]) -> None:
    """Raises AdapterMismatch where the adapters are not known to have one base."""
    key = "digest" if all(card.base.get("digest", UNKNOWN) != UNKNOWN for card in cards) else "name"
    bases = {str(card.base.get(key) or UNKNOWN) for card in cards}
    if len(bases) > 1 or UNKNOWN in bases:
        named = "; ".join(f"{_called(card)}: {card.base.get('name')!r}, {card.base.get('digest')}" for card in cards)
        raise AdapterMismatch(f"only adapters of one base that is known can be merged ({named})")


def _registered(
    make: Callable[[Path], dict[str, Any]], parents: Sequence[Card], kind: Kinship, species: str, origin: str
) -> Derived:
    aliases.checked(species, "1")
    new = False
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        config = make(folder)
        held = contents(folder / WEIGHTS)

        def card(digest: str, version: int) -> UnmeasuredCard:
            nonlocal new
            new = True
            return UnmeasuredCard(
                species=species,
                version=version,
                digest=digest,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                niche=_shared([parent.niche for parent in parents]),
                base=next((one.base for one in parents if one.base.get("digest", UNKNOWN) != UNKNOWN), parents[0].base),
                parents=[Parent(kind=kind, digest=parent.digest) for parent in parents],
                licence=_shared([parent.licence for parent in parents]),
                origin=origin,
                shape={
                    "kind": config["peft_type"],
                    "r": config["r"],
                    "lora_alpha": config["lora_alpha"],
                    "tensors": held.tensors,
                    "parameters": held.parameters,
                    "dtype": ", ".join(held.dtypes),
                },
            )

        entry, registered = store.register(folder, card)
    return entry, registered, new


def _shared(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else UNKNOWN


def _called(card: Card) -> str:
    return f"{card.species}@{card.version}"
