"""Reading every byte of the registry again, and saying what is not as it was written.

The files, the aliases and the index are witnesses for each other: an entry that is gone is missed by its alias and by
the index, a card that was written anew together with its manifest differs from the index.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from speciate.errors import StorageError
from speciate.records import Card, Fault, Verification
from speciate.registry import keys, places, witnesses
from speciate.registry.entry import check, misplaced, read_card, remedy
from speciate.registry.signing import names_of_keys, signed
from speciate.registry.witnesses import fault
from speciate.storage import shown


def verify(
    entries: Iterable[Path] | None = None,
    advance: Callable[[int], None] = lambda _: None,
    *,
    must_be_signed: bool = False,
) -> Verification:
    """What is wrong with these entries, or with the whole registry; `advance` is told of every entry that was read.

    A wrong signature is a fault; with `must_be_signed`, so is none, and one by a key that is not trusted.
    """
    faults: list[Fault] = []
    cards: dict[str, Card] = {}
    signers: dict[str, str] = {}
    trusted = names_of_keys()
    chosen = places.entries() if entries is None else sorted(entries)
    for entry in chosen:
        found, card = _read(entry)
        advice = remedy(entry) if found and entry.parent == places.entries_folder() else ""
        if card:
            cards[entry.name] = card
            found = misplaced(entry, card) if entry.parent == places.entries_folder() else []
            signature = signed(entry, trusted)
            signers[shown(Path(entry.name))] = str(signature)
            if signature.problem or (must_be_signed and not signature.name):
                found = [*found, signature.problem or str(signature)]
        faults += [fault(entry, what, advice) for what in found]
        advance(1)
    with places.undisturbed():
        # Others may have removed some meanwhile.
        there = {name: card for name, card in cards.items() if os.path.lexists(places.entries_folder() / name)}
        faults += witnesses.index_faults(there)
        if entries is None:
            faults += [*witnesses.alias_faults(there), *witnesses.strangers()]
    faults += [fault(path, what) for path, what in keys.damaged()]
    return Verification(entries=len(chosen), faults=faults, signed=signers)


def _read(entry: Path) -> tuple[list[str], Card | None]:
    """What is wrong with an entry, or its card. What is wrong is looked at once more while nobody writes: the entry may
    have been removed meanwhile, and then there is neither.
    """
    with contextlib.suppress(StorageError):
        if not check(entry):
            return [], read_card(entry)
    with places.undisturbed():
        if entry.parent == places.entries_folder() and not os.path.lexists(entry):
            return [], None
        found = check(entry)
        return found, None if found else read_card(entry)
