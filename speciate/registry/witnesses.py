"""What entries, aliases and the index say of each other: where they disagree, one of them is not as it was written."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from speciate.errors import StorageError
from speciate.records import Card, Fault
from speciate.registry import aliases, index, places, versions
from speciate.registry.entry import entry_name, is_plain
from speciate.storage import shown

PLAIN = ("index.sqlite", ".lock")
OWN = {"entries", "aliases", "versions", "index.sqlite-wal", "index.sqlite-shm", *PLAIN}
BUSY_S = 2.0
OUT_OF_REACH = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_PERM, sqlite3.SQLITE_FULL}  # fmt: skip
"""Errors that say nothing of what is in the index: another process has it, or this one may not write to it."""


def fault(path: Path, what: str, remedy: str = "") -> Fault:
    """A fault of a file that may be called anything."""
    return Fault(where=shown(path), what=what, remedy=remedy)


def alias_faults(cards: Mapping[str, Card]) -> Iterator[Fault]:
    """Aliases that are damaged or mean nothing, and versions without one. `cards` are those of all sound entries."""
    meant: set[tuple[str, str]] = set()
    for path, what in aliases.strange():
        yield fault(path, what)
    for species, alias, path in aliases.every():
        try:
            name = entry_name(aliases.read(path))
        except StorageError as error:
            yield fault(path, str(error))
            continue
        meant.add((species, alias))
        card = cards.get(name)
        if card is None and not os.path.lexists(places.entries_folder() / name):
            advice = f"`speciate registry alias {species}@{alias} --remove` takes the name away"
            yield fault(path, f"the entry {name}, which {species}@{alias} means, is missing", advice)
        elif card and (card.species != species or (aliases.is_version(alias) and str(card.version) != alias)):
            yield fault(path, f"{species}@{alias} means the entry of {card.species}@{card.version}")
    for name, card in sorted(cards.items()):
        if (card.species, str(card.version)) not in meant:
            where = aliases.path_of(card.species, str(card.version))
            what = f"{card.species}@{card.version} has no alias; `speciate registry rebuild` makes it from entry {name}"
            yield fault(where, what)


def index_faults(cards: Mapping[str, Card]) -> Iterator[Fault]:
    """Where the index, as it lies there, says something else than the files. Entries that it does not have yet are no
    fault: it catches up when it is next used.
    """
    path = places.index_file()
    if not is_plain(path):
        return
    try:
        # closing() and not `with`: that would only end a transaction.
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)) as database:
            for row in database.execute("PRAGMA integrity_check"):
                if row[0] != "ok":
                    yield fault(path, str(row[0]))
            _check_words(database)
            # One state of it from here on, whatever others write.
            database.execute("BEGIN")
            known = [str(row[0]) for row in database.execute("SELECT name FROM entries WHERE problem IS NULL")]
            for name in sorted(set(known) & set(cards)):
                entry = places.entries_folder() / name
                if differing := index.differing(database, entry, cards[name]):
                    yield fault(path, f"the index knows another card of {name}: {', '.join(differing)} differ")
            for name in sorted(known):
                if not os.path.lexists(places.entries_folder() / name):
                    yield fault(places.entries_folder() / name, "the entry is missing")
            yield from _moved_aliases(index.known_aliases(database))
    except sqlite3.Error as error:
        if not _is_out_of_reach(error):
            yield fault(path, f"{error}; `speciate registry rebuild` makes it anew")


def strangers() -> Iterator[Fault]:
    """What lies in the registry and does not belong to it."""
    root = places.root()
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if path.name not in OWN:
            yield fault(path, "it does not belong to the registry")
        elif path.name in PLAIN and not is_plain(path):
            yield fault(path, "it is no plain file: remove it, it is made anew")
    for path, what in versions.damaged():
        yield fault(path, what)


def _check_words(database: sqlite3.Connection) -> None:
    """Raises an error of SQLite where the words that are searched do not fit the entries; nothing where that cannot be
    seen, for seeing it is writing.
    """
    try:
        database.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    except sqlite3.Error as error:
        if not _is_out_of_reach(error):
            raise


def _moved_aliases(known: Mapping[tuple[str, str], str] | None) -> Iterator[Fault]:
    """Aliases that mean something else in the index than by their files; none where it is going to read them anew."""
    for species, alias, path in aliases.every(words_only=True) if known is not None else ():
        with contextlib.suppress(StorageError):
            digest = aliases.read(path)
            if known is not None and known.get((species, alias)) != digest:
                said = known.get((species, alias), "nothing")
                what = f"it says {digest} and the index {said}: it was written by something else than speciate"
                advice = f"`speciate registry alias {species}@{alias} NAME` says which of them is meant"
                yield fault(path, what, advice)


def _is_out_of_reach(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in OUT_OF_REACH
