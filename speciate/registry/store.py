"""Adding entries to the registry, naming them, taking them out, and finding the one that is meant.

An entry is written whole or not at all, and never changed; what is changed is where an alias points. Knows nothing of
training. Every change is made under the registry's lock: files first, then the index.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from speciate.errors import InputError, NotFound, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import Card
from speciate.registry import aliases, index, places, query
from speciate.registry.entry import (
    CARD,
    README,
    adapter_digest,
    check,
    config_of,
    entry_name,
    is_plain,
    misplaced,
    read_card,
    weights_of,
    write_manifest,
)
from speciate.registry.readme import readme
from speciate.storage import digest_file, disk_errors, folder_published_whole, indented_json, sync_folder


def register(adapter: Path, card: Callable[[str, int], Card]) -> tuple[Path, Card]:
    """Publish the adapter in folder `adapter`, and give its entry and its card.

    `card` is called with the content's digest and a version, once to learn the species and once more if that species
    has other versions already. An adapter that is registered already keeps its first entry and card. Raises InputError
    where the folder is no adapter, StorageError where it cannot be written; an entry is there whole or not at all.
    """
    config = config_of(adapter)
    weights = weights_of(adapter)
    digest = adapter_digest(weights, config)
    entry = entry_path(digest)
    with places.locked(), index.opened() as database:
        if entry.exists():
            return entry, _sound(entry)
        filled = card(digest, 1)
        version = next_version(database, filled.species)
        filled = filled if version == 1 else card(digest, version)
        if (filled.digest, filled.version) != (digest, version):
            raise ValueError(f"the card says {filled.digest} version {filled.version}, not {digest} version {version}")
        with folder_published_whole(entry) as aside:
            shutil.copyfile(adapter / WEIGHTS, aside / WEIGHTS)
            if digest_file(aside / WEIGHTS) != weights:
                raise StorageError(f"{str(adapter / WEIGHTS)!r} changed while it was being copied; register it again")
            # Flushed all together when the folder is published.
            (aside / CONFIG).write_text(indented_json(config), encoding="utf-8")
            (aside / CARD).write_text(indented_json(filled.document()), encoding="utf-8")
            (aside / README).write_text(readme(filled), encoding="utf-8")
            write_manifest(aside, digest)
        _enter(database, entry, filled)
    return entry, filled


def adopt(folder: Path) -> tuple[Path, Card]:
    """Publish an entry that another registry made, as it is: its card, its signature and, if it is free, its version.

    Where its version is taken by another adapter of the species, it gets none here: its digest finds it. Raises
    InputError where something in it is damaged.
    """
    if problems := check(folder):
        raise InputError(f"{str(folder)!r} is damaged: {'; '.join(problems)}")
    card = read_card(folder)
    entry = entry_path(card.digest)
    with places.locked(), index.opened() as database:
        if entry.exists():
            return entry, _sound(entry)
        with folder_published_whole(entry) as aside:
            for path in folder.iterdir():
                shutil.copyfile(path, aside / path.name)
            if problems := check(aside):
                raise StorageError(f"{str(folder)!r} changed while it was being copied: {'; '.join(problems)}")
        _enter(database, entry, card)
    return entry, card


def remove(entry: Path) -> None:
    """Take an entry out of the registry, with what points to it. Raises InputError where it is none of the registry's.

    What it is the parent of keeps its edge, to an ancestor that is absent.
    """
    with places.locked(), index.opened() as database:
        if entry.parent != places.entries_folder() or not entry.is_dir():
            raise InputError(f"{str(entry)!r} is no entry of the registry {str(places.entries_folder())!r}")
        aside = Path(tempfile.mkdtemp(dir=entry.parent, prefix=f".{entry.name}."))
        with disk_errors(entry), index.entered(database):
            # One rename, so it is there whole or not at all; what is left of it is removed with the leftovers.
            entry.rename(aside / entry.name)
            sync_folder(entry.parent)
            for species, alias, path in list(aliases.every()):
                if _points_to(path, entry.name):
                    aliases.remove(species, alias)
                    database.execute("DELETE FROM aliases WHERE species = ? AND alias = ?", [species, alias])
            index.forget(database, entry.name)
            shutil.rmtree(aside)


def point(species: str, alias: str, digest: str) -> None:
    """Let `species@alias` mean an entry of that species; a number is never moved. Raises InputError, NotFound."""
    if aliases.is_version(aliases.checked(species, alias)):
        raise InputError(f"{alias!r} is a version, given once by the registry; an alias begins with a letter")
    with places.locked(), index.opened() as database:
        meant = query.of_digests(database, [digest]).get(digest)
        if meant is None:
            raise NotFound(f"no entry with digest {digest} in the registry")
        if meant.species != species:
            raise InputError(f"{species}@{alias} cannot be {meant.species}@{meant.version}: it is another species")
        with index.entered(database):
            aliases.put(species, alias, digest)
            database.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", [species, alias, digest])


def unpoint(species: str, alias: str) -> None:
    """Take a name away from whatever it means. Raises NotFound, and InputError for a version."""
    if aliases.is_version(aliases.checked(species, alias)):
        raise InputError(f"{alias!r} is a version; it goes with its entry: `speciate registry rm {species}@{alias}`")
    with places.locked(), index.opened() as database:
        if not aliases.path_of(species, alias).exists():
            raise NotFound(f"there is no alias {species}@{alias}")
        with index.entered(database):
            aliases.remove(species, alias)
            database.execute("DELETE FROM aliases WHERE species = ? AND alias = ?", [species, alias])


def find(reference: str) -> tuple[Path, Card]:
    """The entry that is meant by a digest or its beginning (4 digits or more), `species`, `species@N`, `species@alias`
    or a folder.

    A species alone means its latest version. Raises NotFound, InputError where several digests begin so, and
    StorageError where the card is damaged.
    """
    folder = Path(reference).expanduser()
    if is_plain(folder / CARD):
        return folder.absolute(), read_card(folder)
    with index.opened() as database:
        digest = query.digest_of(database, reference)
    entry = entry_path(digest)
    if not entry.is_dir():
        raise StorageError(f"{reference!r} means the entry {digest}, which is missing: {str(entry)!r}")
    return entry, read_card(entry)


def entry_path(digest: str) -> Path:
    """Where the entry of this digest lies; it need not exist."""
    return places.entries_folder() / entry_name(digest)


def next_version(database: sqlite3.Connection, species: str) -> int:
    """One more than any version that was ever given and is still known of."""
    known = database.execute("SELECT max(version) FROM entries WHERE species = ?", [species]).fetchone()[0] or 0
    folder = aliases.path_of(species, "1").parent
    given = [int(path.name) for path in folder.iterdir() if aliases.is_version(path.name)] if folder.is_dir() else []
    return 1 + max([known, *given])


def _enter(database: sqlite3.Connection, entry: Path, card: Card) -> None:
    with index.entered(database):
        if not aliases.path_of(card.species, str(card.version)).exists():
            aliases.put(card.species, str(card.version), card.digest)
        index.add(database, entry, card)


def _sound(entry: Path) -> Card:
    """The card of an entry that is there already. Raises StorageError where it is damaged."""
    card = None
    if not (problems := check(entry)):
        card = read_card(entry)
        problems = misplaced(entry, card)
    if problems or card is None:
        raise StorageError(f"{str(entry)!r} is registered but damaged: {'; '.join(problems)}. Remove it first.")
    return card


def _points_to(path: Path, name: str) -> bool:
    try:
        return entry_name(aliases.read(path)) == name
    except StorageError:
        return False
