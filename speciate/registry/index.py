"""The index: an SQLite file that answers at once what would take reading every card. Made from the files, never the
other way round; whoever opens it sees what the files say.

How it keeps up: it remembers the times at which the folders of entries and of aliases last changed. Where they differ,
names are compared and what is missing is read. A writer enters what it wrote under the registry's lock. What it does
not see until `rebuild` or `verify`: a card that was changed where it lies.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from speciate.errors import StorageError
from speciate.records import AdapterCard, Card
from speciate.registry import aliases, places
from speciate.registry.entry import entry_name, manifest_digest, read_card, remedy
from speciate.registry.migrations import bring_up_to_date
from speciate.storage import canonical_json, disk_errors, shown

BUSY_S = 5.0
"""So long the index is waited for; without it all is known too, more slowly."""
BATCH = 1000
"""Cards that are read between two moves of a progress bar."""


@contextlib.contextmanager
def opened(advance: Callable[[int], None] = lambda _: None) -> Generator[sqlite3.Connection]:
    """The index, brought up to date with the files; in memory where it cannot be written.

    `advance` is told of every so many cards that were read. Raises StorageError.
    """
    database = _connected()
    try:
        try:
            synchronise(database, advance)
        except sqlite3.OperationalError:
            # Somebody else's registry, a full disk: what this process needs, it can know by itself.
            database.close()
            database = _in_memory()
            synchronise(database, advance)
        except sqlite3.DatabaseError:
            database.close()
            _discard()
            database = _connected()
            synchronise(database, advance)
        yield database
    except sqlite3.DatabaseError as error:
        raise StorageError(
            f"{str(places.index_file())!r} cannot be used ({error}); `speciate registry rebuild` makes it anew"
        ) from error
    finally:
        database.close()


def rebuild(advance: Callable[[int], None] = lambda _: None) -> int:
    """Make the index and missing version aliases anew from the cards, and say how many entries there are."""
    with places.locked():
        _discard()
        with opened(advance) as database:
            rows = database.execute("SELECT species, version, digest FROM entries WHERE problem IS NULL").fetchall()
            for species, version, digest in rows:
                if not aliases.path_of(species, str(version)).exists():
                    aliases.put(species, str(version), digest)
            entered(database, lambda _: None)
            return len(rows)


def synchronise(database: sqlite3.Connection, advance: Callable[[int], None] = lambda _: None) -> None:
    """Read what the index does not have yet, and forget what is gone."""
    for folder, compare in ((places.entries_folder(), _entries_compared), (places.aliases_folder(), _aliases_compared)):
        changed = _changed_at(folder)
        if changed != _remembered(database, folder.name):
            with _transaction(database):
                compare(database, advance)
                _remember(database, folder.name, changed)


def entered(database: sqlite3.Connection, change: Callable[[sqlite3.Connection], object]) -> None:
    """Bring a change of the files, which is made already, into the index, which then knows the folders' times.

    Only under the registry's lock, with an index that was up to date. Where the index cannot be written, the files are
    what counts: whoever opens it next brings it up to date.
    """
    with contextlib.suppress(sqlite3.Error), _transaction(database):
        change(database)
        for folder in (places.entries_folder(), places.aliases_folder()):
            _remember(database, folder.name, _changed_at(folder))


def add(database: sqlite3.Connection, entry: Path, card: Card) -> None:
    """Enter one card."""
    row = _row(entry, card)
    columns = ", ".join(row)
    places_of = ", ".join("?" * len(row))
    cursor = database.execute(f"INSERT INTO entries ({columns}) VALUES ({places_of})", list(row.values()))
    database.execute("INSERT INTO words (rowid, species, niche, base, description, families, other) "
                     "VALUES (?, ?, ?, ?, ?, ?, ?)", [cursor.lastrowid, *_words(card)])  # fmt: skip
    database.executemany(
        "INSERT OR REPLACE INTO edges VALUES (?, ?, ?, ?)",
        [(card.digest, place, parent.digest, parent.kind) for place, parent in enumerate(card.parents)],
    )


def differing(database: sqlite3.Connection, entry: Path, card: Card) -> list[str]:
    """The columns in which the index says something else of an entry than its files do."""
    expected = _row(entry, card)
    found = database.execute(f"SELECT id, {', '.join(expected)} FROM entries WHERE name = ?", [entry.name]).fetchone()
    named = [name for name, value in zip(expected, found[1:], strict=True) if expected[name] != value]
    words = database.execute(
        "SELECT species, niche, base, description, families, other FROM words WHERE rowid = ?", [found[0]]
    ).fetchone()
    edges = database.execute("SELECT parent, kind FROM edges WHERE child = ? ORDER BY place", [card.digest]).fetchall()
    named += [] if words == tuple(_words(card)) else ["words"]
    return named + ([] if edges == [(parent.digest, parent.kind) for parent in card.parents] else ["parents"])


def known_aliases(database: sqlite3.Connection) -> dict[tuple[str, str], str] | None:
    """The words of the index, with the digests that they mean; None where it is going to read them anew."""
    folder = places.aliases_folder()
    if _changed_at(folder) != _remembered(database, folder.name):
        return None
    return {(row[0], row[1]): row[2] for row in database.execute("SELECT species, alias, digest FROM aliases")}


def forget(database: sqlite3.Connection, name: str) -> None:
    """Take one entry out."""
    found = database.execute("SELECT id, digest FROM entries WHERE name = ?", [name]).fetchone()
    if found:
        database.execute("DELETE FROM words WHERE rowid = ?", [found[0]])
        database.execute("DELETE FROM edges WHERE child = ?", [found[1]])
        database.execute("DELETE FROM entries WHERE id = ?", [found[0]])


def summary_of(card: Card) -> dict[str, Any]:
    """An entry in short, as `Listed` reads it."""
    names = ("species", "version", "digest", "created", "verdict", "niche", "description", "base", "parents", "licence")
    found = card.model_dump(mode="json", include=set(names))
    if isinstance(card, AdapterCard):
        found["run"], found["seed"] = card.run, card.seed
        found["gain"] = card.gain.model_dump(mode="json", include={"metric", "base", "adapter", "delta", "ci95", "n"})
        found["forgetting"] = card.forgetting.model_dump(mode="json", include={"delta", "ci95", "ci95_upper", "n"})
        found["forgetting"]["nats"] = card.forgetting.nats.delta if card.forgetting.nats else None
    return found


def _row(entry: Path, card: Card) -> dict[str, Any]:
    measured = card if isinstance(card, AdapterCard) else None
    return {
        "name": entry.name,
        "digest": card.digest,
        "species": card.species,
        "version": card.version,
        "niche": card.niche,
        "base": str(card.base.get("name") or ""),
        "base_digest": str(card.base.get("digest") or ""),
        "verdict": card.verdict,
        "gain": measured.gain.delta if measured else None,
        "gain_low": measured.gain.ci95[0] if measured else None,
        "forgetting": measured.forgetting.delta if measured else None,
        "forgetting_upper": measured.forgetting.ci95_upper if measured else None,
        "created": card.created,
        "summary": _text(summary_of(card)),
        "recipe": _text(card.recipe) if isinstance(card, AdapterCard) else None,
        "manifest": manifest_digest(entry),
        "problem": None,
    }


def _text(value: dict[str, Any]) -> str:
    """One text for equal values: a card that was read has its keys in another order than the one that was written."""
    return canonical_json(value).decode()


def _words(card: Card) -> Iterable[str]:
    families = sorted({score.family for score in card.families}) if isinstance(card, AdapterCard) else []
    other = [card.run] if isinstance(card, AdapterCard) else [card.origin]
    return (
        card.species,
        card.niche,
        str(card.base.get("name") or ""),
        card.description,
        " ".join(families),
        " ".join([*other, card.verdict, card.licence]),
    )


def _entries_compared(database: sqlite3.Connection, advance: Callable[[int], None]) -> None:
    there = {shown(Path(path.name)): path for path in places.entries()}
    known = {row[0] for row in database.execute("SELECT name FROM entries")}
    damaged = {row[0] for row in database.execute("SELECT name FROM entries WHERE problem IS NOT NULL")}
    for name in (known - there.keys()) | damaged:
        forget(database, name)
    for number, name in enumerate(sorted((there.keys() - known) | (damaged & there.keys())), 1):
        entry = there[name]
        try:
            card = read_card(entry)
            if entry_name(card.digest) != name:
                raise StorageError(f"{str(entry)!r} holds the card of another adapter, {card.digest}")
            add(database, entry, card)
        except StorageError as error:
            told = f"{error}; {remedy(entry)}"
            database.execute("INSERT INTO entries (name, digest, problem) VALUES (?, '', ?)", [name, told])
        if number % BATCH == 0:
            advance(BATCH)


def _aliases_compared(database: sqlite3.Connection, advance: Callable[[int], None]) -> None:
    del advance
    database.execute("DELETE FROM aliases")
    for species, alias, path in aliases.every(words_only=True):
        with contextlib.suppress(StorageError):
            database.execute("INSERT INTO aliases VALUES (?, ?, ?)", [species, alias, aliases.read(path)])


def _changed_at(folder: Path) -> int:
    """When something in a folder was last made, renamed or removed; 0 where it is not there, or cannot be seen."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _remembered(database: sqlite3.Connection, name: str) -> int | None:
    found = database.execute("SELECT value FROM state WHERE name = ?", [name]).fetchone()
    return int(found[0]) if found else None


def _remember(database: sqlite3.Connection, name: str, value: int) -> None:
    database.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", [name, value])


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Generator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise


def _connected() -> sqlite3.Connection:
    """The file, made where it is missing; one in memory where there is no registry, or no place for it."""
    path = places.index_file()
    if not path.parent.is_dir():
        return _in_memory()
    try:
        return _prepared(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False))
    except (sqlite3.OperationalError, OSError) as error:
        if isinstance(error, StorageError):
            raise
        return _in_memory()
    except sqlite3.DatabaseError:
        _discard()
        return _prepared(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False))


def _in_memory() -> sqlite3.Connection:
    return _prepared(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return database


def _discard() -> None:
    """Remove the index; it holds nothing that the files do not."""
    path = places.index_file()
    with disk_errors(path):
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            (path.parent / name).unlink(missing_ok=True)
