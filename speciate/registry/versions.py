"""The highest version that a species was ever given. Its entries and aliases show it; when one of them is removed, a
small file remembers it, so that no number is given twice. Writers hold the registry's lock.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from speciate.errors import StorageError
from speciate.records.cards import MOST_VERSIONS
from speciate.registry import places
from speciate.storage import write_text
from speciate.untrusted import is_folder, read_plain

MOST_BYTES = 16


def highest(species: str) -> int:
    """The highest that is remembered; 0 where nothing was removed. Raises StorageError where the file is damaged."""
    path = places.versions_folder() / species
    try:
        content = read_plain(path, MOST_BYTES)
    except FileNotFoundError:
        return 0
    if not re.fullmatch(rb"[1-9][0-9]{0,9}\n", content):
        raise StorageError(
            f"{str(path)!r} is damaged: it does not hold a version. Remove it: versions are then counted from those "
            "that are there"
        )
    return int(content)


def remember(species: str, version: int) -> None:
    """Keep a version that is going to be removed. Raises StorageError."""
    if highest(species) < version < MOST_VERSIONS:
        write_text(places.versions_folder() / species, f"{version}\n")


def damaged() -> Iterator[tuple[Path, str]]:
    """Files that hold no version, and why."""
    folder = places.versions_folder()
    for path in sorted(folder.iterdir()) if is_folder(folder) else []:
        try:
            highest(path.name)
        except StorageError as error:
            yield path, str(error)
