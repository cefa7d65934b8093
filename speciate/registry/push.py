"""Sending entries to another place, which has the layout of a registry, so that a pushed folder can become one:

    entries/<16 hex digits>/<files>     `manifest.json` goes last: without it an entry is unfinished
    aliases/<species>/<alias>

What is there already with the right bytes is not sent again, so a push that was broken off goes on file by file.
"""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from speciate.errors import InputError, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.progress import Progress
from speciate.records import Card
from speciate.records.exchange import Moved
from speciate.registry import aliases, received, signing
from speciate.registry.entry import CARD, MANIFEST, README, SIGNATURE, check, entry_name
from speciate.registry.remotes import Remote, content
from speciate.storage import digest_file, disk_errors

ORDER = (WEIGHTS, CONFIG, CARD, README, SIGNATURE, MANIFEST)
ALIAS_BYTES = 128
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Sending:
    """How entries are sent."""

    read_back: bool = True
    """Every file is read again where it was sent to, and where it was already."""
    overwrite_aliases: bool = False


def push(entries: Sequence[tuple[Path, Card]], place: Remote, how: Sending, progress: Progress) -> list[Moved]:
    """Send entries and the aliases that mean them, and say what became of each.

    Raises StorageError where the place cannot be written to; what was sent until then is there.
    """
    passes = 2 if how.read_back else 1
    total = sum(passes * _bytes(entry) for entry, _ in entries)
    moved: list[Moved] = []
    with progress.phase("sending and reading back (MB)" if how.read_back else "sending (MB)", total / 1e6) as phase:
        for entry, card in entries:
            phase.note(f"{card.species}@{card.version}")
            moved.append(_one(entry, card, place, how, lambda count: phase.advance(count / 1e6)))
    return moved


def _one(entry: Path, card: Card, place: Remote, how: Sending, advance: Advance) -> Moved:
    known = Moved(digest=card.digest, what="refused", species=card.species, version=card.version)
    try:
        if problems := check(entry):
            raise InputError(f"it is damaged here: {'; '.join(problems)}")
        signed = signing.signed(entry)
        if signed.problem:
            raise InputError(signed.problem)
        _no_other_card(entry, place, entry_name(card.digest))
        files = [(entry / name, f"entries/{entry_name(card.digest)}/{name}") for name in ORDER]
        sent = sum(_file(file, there, place, how, advance) for file, there in files if file.exists())
        notes = _aliases(card, place, how)
    except StorageError:
        raise
    except InputError as error:
        return known.model_copy(update={"problem": str(error)})
    what = "sent" if sent else "there already"
    return known.model_copy(update={"what": what, "bytes": sent, "signed": str(signed), "notes": notes})


def _no_other_card(entry: Path, place: Remote, name: str) -> None:
    """Raises InputError where the same adapter is there whole with a card of another registry."""
    there = content(place, f"entries/{name}/{MANIFEST}", received.MANIFEST_BYTES)
    if there is None or there == (entry / MANIFEST).read_bytes():
        return
    try:
        received.listing(there)
    except InputError:
        # Damaged, so it is nobody's.
        return
    raise InputError(f"{place.shown!r} has the same adapter with another card; it is left as it is")


def _file(file: Path, there: str, place: Remote, how: Sending, advance: Advance) -> int:
    """Send a file where it is not there already; how many bytes went."""
    size = file.stat().st_size
    expected = digest_file(file)
    same = place.size(there) == size
    if same and how.read_back:
        same = _digest(place, there, size, advance) == expected
    if same:
        advance(size)
        return 0
    place.send(file, there, advance)
    if how.read_back and _digest(place, there, size, advance) != expected:
        raise StorageError(
            f"{place.shown!r}: {there} is not what was sent, as reading it back shows; that place loses or changes "
            "bytes. The same command sends it anew."
        )
    return size


def _digest(place: Remote, name: str, size: int, advance: Advance) -> str:
    """The digest of a file there; of one that is longer than it should be, of a part that is too long."""
    found, read = hashlib.sha256(), 0
    try:
        for piece in place.read(name):
            found.update(piece)
            advance(len(piece))
            read += len(piece)
            if read > size:
                break
    except FileNotFoundError:
        return ""
    return f"sha256:{found.hexdigest()}"


def _aliases(card: Card, place: Remote, how: Sending) -> list[str]:
    """Send the version and the words that mean an entry here; what is to be said of those that are taken there."""
    words = [alias for _, alias, _ in aliases.of(card.species) if not aliases.is_version(alias)]
    meant = [word for word in sorted(words) if _means(card, word)]
    notes: list[str] = []
    for alias in (str(card.version), *meant):
        name = f"aliases/{card.species}/{alias}"
        there = content(place, name, ALIAS_BYTES)
        wanted = f"{card.digest}\n".encode()
        if there is None or (there != wanted and how.overwrite_aliases and not aliases.is_version(alias)):
            with disk_errors(Path(tempfile.gettempdir())), tempfile.NamedTemporaryFile() as file:
                file.write(wanted)
                file.flush()
                place.send(Path(file.name), name, lambda _: None)
        elif there != wanted:
            advice = "" if aliases.is_version(alias) else "; --aliases overwrite moves it"
            notes.append(f"{card.species}@{alias} means another adapter there and is kept{advice}")
    return notes


def _means(card: Card, word: str) -> bool:
    try:
        return aliases.read(aliases.path_of(card.species, word)) == card.digest
    except (StorageError, InputError):
        return False


def _bytes(entry: Path) -> int:
    return sum((entry / name).stat().st_size for name in ORDER if (entry / name).is_file())
