"""Reading every byte of the registry again, and saying what is not as it was written.

The files, the aliases and the index are witnesses for each other: an entry that is gone is missed by its alias and by
the index, a card that was written anew together with its manifest differs from the index.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from speciate.errors import StorageError
from speciate.records import Card, Fault, Verification
from speciate.registry import aliases, index, places
from speciate.registry.entry import check, entry_name, misplaced, read_card
from speciate.registry.signing import names_of_keys, signed


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
    chosen = sorted(_folders() if entries is None else entries)
    for entry in chosen:
        found = check(entry)
        if not found:
            card = read_card(entry)
            cards[entry.name] = card
            found = misplaced(entry, card) if entry.parent == places.entries_folder() else []
            signature = signed(entry, trusted)
            signers[entry.name] = str(signature)
            if signature.problem or (must_be_signed and not signature.name):
                found = [*found, signature.problem or str(signature)]
        faults += [Fault(where=str(entry), what=what) for what in found]
        advance(1)
    faults += _index_faults(cards)
    if entries is None:
        faults += [*_alias_faults(cards), *_strangers()]
    return Verification(entries=len(chosen), faults=faults, signed=signers)


def _folders() -> list[Path]:
    folder = places.entries_folder()
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def _alias_faults(cards: dict[str, Card]) -> list[Fault]:
    """Aliases that are damaged or mean nothing, and versions without one."""
    faults: list[Fault] = []
    meant: dict[tuple[str, str], str] = {}
    for species, alias, path in aliases.every():
        try:
            aliases.checked(species, alias)
            meant[species, alias] = entry_name(aliases.read(path))
        except (StorageError, ValueError) as error:
            faults.append(Fault(where=str(path), what=str(error)))
            continue
        card = cards.get(meant[species, alias])
        if card is None:
            if not (places.entries_folder() / meant[species, alias]).exists():
                what = f"the entry {meant[species, alias]}, which {species}@{alias} means, is missing"
                faults.append(Fault(where=str(path), what=what))
        elif card.species != species or (aliases.is_version(alias) and str(card.version) != alias):
            what = f"{species}@{alias} means the entry of {card.species}@{card.version}"
            faults.append(Fault(where=str(path), what=what))
    for name, card in sorted(cards.items()):
        if (card.species, str(card.version)) not in meant:
            where = aliases.path_of(card.species, str(card.version))
            what = f"{card.species}@{card.version} has no alias; `speciate registry rebuild` makes it from entry {name}"
            faults.append(Fault(where=str(where), what=what))
    return faults


def _index_faults(cards: dict[str, Card]) -> list[Fault]:
    """Where the index, as it lies there, says something else than the files. Entries that it does not have yet are no
    fault: it catches up when it is next used.
    """
    path = places.index_file()
    if not path.exists():
        return []
    try:
        # closing() and not `with`: that would only end a transaction.
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            sound = [str(row[0]) for row in database.execute("PRAGMA integrity_check")]
            database.execute("INSERT INTO words (words) VALUES ('integrity-check')")
            known = [str(row[0]) for row in database.execute("SELECT name FROM entries")]
            faults = [Fault(where=str(path), what=what) for what in sound if what != "ok"]
            for name in sorted(set(known) & set(cards)):
                if differing := index.differing(database, places.entries_folder() / name, cards[name]):
                    what = f"the index knows another card of {name}: {', '.join(differing)} differ"
                    faults.append(Fault(where=str(path), what=what))
    except sqlite3.Error as error:
        return [Fault(where=str(path), what=f"{error}; `speciate registry rebuild` makes it anew")]
    missing = [places.entries_folder() / name for name in sorted(known)]
    return faults + [Fault(where=str(entry), what="the entry is missing") for entry in missing if not entry.exists()]


def _strangers() -> list[Fault]:
    """What lies in the registry and does not belong to it."""
    root = places.root()
    own = {"entries", "aliases", ".lock", "index.sqlite", "index.sqlite-wal", "index.sqlite-shm"}
    strange = [path for path in (root.iterdir() if root.is_dir() else []) if path.name not in own]
    return [Fault(where=str(path), what="it does not belong to the registry") for path in sorted(strange)]
