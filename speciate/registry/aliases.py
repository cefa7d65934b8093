"""Aliases: small files that hold a digest, `lean-prover@2` and `lean-prover@best`.

A number is given to an entry once, when it is registered; a word can be moved to another entry at any time. Writers
hold the registry's lock.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from speciate.errors import InputError, StorageError
from speciate.records.cards import DIGEST, SPECIES
from speciate.registry import places
from speciate.storage import disk_errors, sync_folder
from speciate.untrusted import is_folder, read_plain

MOST_BYTES = 128
WORD = r"[a-z][a-z0-9-]{0,63}"


def is_version(alias: str) -> bool:
    """Whether it is a number from 1."""
    return bool(re.fullmatch(r"[1-9][0-9]{0,9}", alias))


def checked(species: str, alias: str) -> str:
    """The alias, where both can be names of files. Raises InputError."""
    if not re.fullmatch(SPECIES, species):
        raise InputError(f"{species!r} is no name of a species: small letters, digits and hyphens")
    if not is_version(alias) and not re.fullmatch(WORD, alias):
        raise InputError(f"{alias!r} is no alias: small letters, digits and hyphens, a letter first")
    return alias


def path_of(species: str, alias: str) -> Path:
    """The file of an alias."""
    return places.aliases_folder() / species / checked(species, alias)


def put(species: str, alias: str, digest: str) -> None:
    """Point an alias to an entry, at once. Raises StorageError."""
    path = path_of(species, alias)
    # Written beside the species' folders and moved in: so the time of the outer folder tells that something changed.
    aside = places.aliases_folder() / f".{species}.{alias}"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(f"{digest}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)


def remove(species: str, alias: str) -> None:
    """Take an alias away, where it is there. Raises StorageError."""
    path = path_of(species, alias)
    with disk_errors(path):
        if os.path.lexists(path):
            aside = places.aliases_folder() / f".{species}.{alias}"
            path.replace(aside)
            aside.unlink()
            sync_folder(path.parent)


def read(path: Path) -> str:
    """The digest in the file of an alias. Raises StorageError where it is damaged."""
    try:
        content = read_plain(path, MOST_BYTES)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    text = content.decode("ascii", errors="replace")
    if not text.endswith("\n") or not re.fullmatch(DIGEST, text[:-1]):
        raise StorageError(f"{str(path)!r} is damaged: it does not hold a digest")
    return text[:-1]


def every(*, words_only: bool = False) -> Iterator[tuple[str, str, Path]]:
    """Species, alias and file of every alias; what can be none is left out."""
    for path, problem in _walked():
        if not problem and not (words_only and is_version(path.name)):
            yield path.parent.name, path.name, path


def of(species: str) -> Iterator[tuple[str, str, Path]]:
    """The same of one species."""
    folder = path_of(species, "1").parent
    for alias, path, problem in _listed(folder) if is_folder(folder) else ():
        if not problem and not _no_alias(species, alias):
            yield species, alias, path


def strange() -> Iterator[tuple[Path, str]]:
    """What lies among the aliases and can be none, and why."""
    return ((path, problem) for path, problem in _walked() if problem)


def _walked() -> Iterator[tuple[Path, str]]:
    """Every alias, and all else that lies there with what is wrong with it."""
    folder = places.aliases_folder()
    if not is_folder(folder):
        return
    for species, path, problem in _listed(folder):
        if problem:
            yield path, problem
        elif not re.fullmatch(SPECIES, species) or path.is_symlink() or not is_folder(path):
            yield path, "it is no folder that is named as a species, and does not belong to the aliases"
        else:
            for alias, file, fault in _listed(path):
                yield file, fault or _no_alias(species, alias)


def _listed(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Name, path and problem of what lies in a folder that may not be readable."""
    try:
        for path in sorted(folder.iterdir()):
            if folder != places.aliases_folder() or not path.name.startswith("."):
                yield path.name, path, ""
    except OSError as error:
        yield folder.name, folder, f"it cannot be read: {error.strerror or error}"


def _no_alias(species: str, alias: str) -> str:
    try:
        checked(species, alias)
    except InputError as error:
        return str(error)
    return ""
