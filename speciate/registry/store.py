"""Adding entries to the registry, naming them, taking them out, and finding the one that is meant.

An entry is written whole or not at all, and never changed; what is changed is where an alias points. Knows nothing of
training. Every change is made under the registry's lock: files first, then the index.
"""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from speciate.errors import InputError, NotFound, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import Card
from speciate.records.cards import MOST_VERSIONS
from speciate.registry import aliases, index, places, query, versions
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
    remedy,
    weights_of,
    write_manifest,
)
from speciate.registry.readme import readme
from speciate.storage import digest_file, disk_errors, expanded, folder_published_whole, indented_json, sync_folder


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
        pointing = [(species, alias) for species, alias, path in aliases.every() if _points_to(path, entry.name)]
        for species in {species for species, _ in pointing} | _species_of(entry):
            versions.remember(species, last_version(database, species))
        # The aliases first: an entry without one is mended by `rebuild`, an alias without an entry by nobody.
        for species, alias in pointing:
            aliases.remove(species, alias)
        aside = entry.with_name(f".{entry.name}")
        with disk_errors(entry):
            # One rename, so it is there whole or not at all; what is left of it is removed with the leftovers.
            entry.rename(aside)
            sync_folder(entry.parent)
        if aside.is_symlink():
            aside.unlink()
        shutil.rmtree(aside, ignore_errors=True)

        def forgotten(database: sqlite3.Connection) -> None:
            database.executemany("DELETE FROM aliases WHERE species = ? AND alias = ?", pointing)
            index.forget(database, entry.name)

        index.entered(database, forgotten)


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
        aliases.put(species, alias, digest)
        index.entered(
            database,
            lambda known: known.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", [species, alias, digest]),
        )


def unpoint(species: str, alias: str) -> None:
    """Take a name away from whatever it means. Raises NotFound, and InputError for a version whose entry is there."""
    path = aliases.path_of(species, alias)
    with places.locked(), index.opened() as database:
        if not os.path.lexists(path):
            raise NotFound(f"there is no alias {species}@{alias}")
        if aliases.is_version(alias):
            if _means_an_entry(path):
                advice = f"it goes with its entry: `speciate registry rm {species}@{alias}`"
                raise InputError(f"{alias!r} is a version; {advice}")
            versions.remember(species, int(alias))
        aliases.remove(species, alias)
        index.entered(
            database,
            lambda known: known.execute("DELETE FROM aliases WHERE species = ? AND alias = ?", [species, alias]),
        )


def find(reference: str) -> tuple[Path, Card]:
    """The entry that is meant by a digest or its beginning (4 digits or more), `species`, `species@N`, `species@alias`
    or a folder.

    A species alone means its latest version, and a folder here that is called as an entry is meant by `./NAME` only.
    Raises NotFound, InputError where several digests begin so, and StorageError where the card is damaged.
    """
    folder = expanded(reference)
    here = is_plain(folder / CARD)
    if here and is_path(reference):
        return folder.absolute(), read_card(folder)
    try:
        with index.opened() as database:
            digest = query.digest_of(database, reference)
    except NotFound:
        if not here:
            raise
        return folder.absolute(), read_card(folder)
    entry = entry_path(digest)
    if not entry.is_dir():
        raise StorageError(f"{reference!r} means the entry {digest}, which is missing: {str(entry)!r}")
    try:
        return entry, read_card(entry)
    except StorageError as error:
        raise type(error)(f"{error}; {remedy(entry)}") from error


def is_path(reference: str) -> bool:
    """Whether it can only be a path: it is no bare name."""
    return reference.startswith((".", "~")) or "/" in reference or os.sep in reference


def locate(reference: str) -> Path:
    """The folder of the entry that is meant as by `find`, or by its folder's name, whether or not its card can be read.

    Raises NotFound, and InputError where several digests begin so.
    """
    folder = expanded(reference).absolute()
    here = is_plain(folder / CARD)
    if is_path(reference) and (here or (folder.parent == places.entries_folder() and folder.is_dir())):
        return folder
    with index.opened() as database:
        try:
            return entry_path(query.digest_of(database, reference))
        except NotFound as error:
            unknown = error
    # Of a damaged entry the index knows the folder alone, and the files of aliases what they mean.
    found = _named(reference) or _beginning(reference) or ([folder] if here else [])
    if not found:
        raise unknown
    if len(found) > 1:
        listed = ", ".join(path.name for path in found)
        raise InputError(f"{reference!r} is the beginning of several entries: {listed}. Give more digits.")
    return found[0]


def _named(reference: str) -> list[Path]:
    """What the alias `species@alias` means by its file; of a species alone, what its latest version does."""
    species, _, alias = reference.partition("@")
    known = [(name, path) for one, name, path in aliases.every() if one == species]
    if alias:
        paths = [path for name, path in known if name == alias]
    else:
        versions = {int(name): path for name, path in known if aliases.is_version(name)}
        paths = [versions[max(versions)]] if versions else []
    try:
        return [entry for path in paths if (entry := entry_path(aliases.read(path))).is_dir()]
    except StorageError:
        return []


def _beginning(reference: str) -> list[Path]:
    """The entries whose folders begin with the digits of a digest."""
    digits = reference.removeprefix("sha256:").lower()
    if not re.fullmatch(r"[0-9a-f]{4,64}", digits):
        return []
    return sorted(places.entries_folder().glob(f"{entry_name(digits)}*"))


def entry_path(digest: str) -> Path:
    """Where the entry of this digest lies; it need not exist."""
    return places.entries_folder() / entry_name(digest)


def last_version(database: sqlite3.Connection, species: str) -> int:
    """The highest version that was ever given."""
    known = database.execute("SELECT max(version) FROM entries WHERE species = ?", [species]).fetchone()[0] or 0
    given = [int(alias) for _, alias, _ in aliases.of(species) if aliases.is_version(alias)]
    return max([known, *given, versions.highest(species)])


def next_version(database: sqlite3.Connection, species: str) -> int:
    """One more. Raises InputError where there are no more."""
    last = last_version(database, species)
    if last >= MOST_VERSIONS:
        raise InputError(
            f"{species}@{last} is there, and no version is higher than {MOST_VERSIONS:,}: remove it, or register this "
            "one as another species"
        )
    return 1 + last


def _enter(database: sqlite3.Connection, entry: Path, card: Card) -> None:
    if not os.path.lexists(aliases.path_of(card.species, str(card.version))):
        aliases.put(card.species, str(card.version), card.digest)
    index.entered(database, lambda database: index.add(database, entry, card))


def _sound(entry: Path) -> Card:
    """The card of an entry that is there already. Raises StorageError where it is damaged."""
    card = None
    if not (problems := check(entry)):
        card = read_card(entry)
        problems = misplaced(entry, card)
    if problems or card is None:
        raise StorageError(f"{str(entry)!r} is registered but damaged: {'; '.join(problems)}. Remove it first.")
    return card


def _species_of(entry: Path) -> set[str]:
    """What its card says; nothing where that is damaged."""
    try:
        return {read_card(entry).species}
    except StorageError:
        return set()


def _means_an_entry(path: Path) -> bool:
    try:
        return entry_path(aliases.read(path)).exists()
    except StorageError:
        return False


def _points_to(path: Path, name: str) -> bool:
    try:
        return entry_name(aliases.read(path)) == name
    except StorageError:
        return False
