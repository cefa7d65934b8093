"""Fetching entries from another place, of which nothing is trusted.

Names are checked before they become paths; only files that an entry has are fetched, never more bytes than its manifest
lists; every byte is hashed before the entry is adopted. A file that was begun is kept in the home under its digest, and
is continued from there. Two processes may fetch the same entry: one waits for the other.
"""

import contextlib
import difflib
import re
import shutil
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speciate.errors import HomeNotWritable, InputError, NotFound, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.progress import Progress
from speciate.records.cards import DIGEST, SPECIES
from speciate.records.exchange import Moved
from speciate.registry import aliases, received, signing, store
from speciate.registry.entry import CARD, MANIFEST, README, SIGNATURE, entry_name
from speciate.registry.received import Listing, Policy, Size
from speciate.registry.remotes import GOES_ON, Remote, content
from speciate.storage import digest, digest_file, disk_errors, home, writable_folder, write_bytes

NAME = r"[0-9a-f]{16}"
ALIAS_BYTES = 128
ORDER = (CARD, CONFIG, README, WEIGHTS)
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An entry there."""

    name: str
    digest: str = ""
    """Its digest or the beginning of it, where that is known before."""
    species: str = ""
    """As what it was found."""


@dataclass(frozen=True, slots=True)
class Offered:
    """An entry there whose manifest was read and is such that it may be fetched."""

    wanted: Wanted
    listing: Listing
    manifest: bytes
    signature: bytes | None

    def bytes(self) -> int:
        """What its files have in all."""
        return sum(size.bytes for size in self.listing.files.values())


def pull(references: Sequence[str], place: Remote, policy: Policy, progress: Progress) -> list[Moved]:
    """Fetch what is meant by `species`, `species@2`, `species@best`, or a digest or its beginning; with no reference
    everything. Says what became of each.

    Raises NotFound, before anything is fetched, where something asked for is not there, and StorageError where the
    place cannot be read.
    """
    chosen = [_found(place, reference) for reference in references] if references else _every(place)
    wanted = list({one.name: one for one in chosen}.values())
    if not wanted:
        raise NotFound(f"there are no entries in {place.shown!r}; a place that was pushed to has the folder 'entries'")
    offered: list[Offered] = []
    moved: list[Moved] = []
    with progress.phase("reading manifests", len(wanted)) as phase:
        for one in wanted:
            with _refusal(one, moved):
                offered.append(_offered(place, one, policy))
            phase.advance()
    known: dict[str, dict[str, str]] = {}
    with progress.phase("fetching (MB)", sum(one.bytes() for one in offered) / 1e6) as phase:
        for one in offered:
            phase.note(one.wanted.name)
            with _refusal(one.wanted, moved):
                made = _one(place, one, policy, lambda count: phase.advance(count / 1e6))
                if policy.aliases != "none":
                    words = known.get(made.species)
                    words = _words(place, made.species) if words is None else words
                    known[made.species] = words
                    taken = received.aliases_taken(made.species, made.digest, words, policy.aliases)
                    made = made.model_copy(update={"notes": [*made.notes, *taken]})
                moved.append(made)
    return moved


def cache() -> Path:
    """Where what was begun is kept."""
    return home() / "cache" / "pull"


@contextlib.contextmanager
def fetching(name: str) -> Generator[Path]:
    """A folder for what is fetched of an entry, for one process at a time; it is kept where the block fails."""
    from filelock import FileLock

    folder = writable_folder(cache()) / name
    # A lock for many entries: one file for each would be left over from each.
    lock = FileLock(cache() / f".lock-{name[:2]}")
    try:
        with disk_errors(folder):
            lock.acquire()
            folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


@contextlib.contextmanager
def _refusal(wanted: Wanted, moved: list[Moved]) -> Generator[None]:
    """What is wrong with one entry hinders no other."""
    try:
        yield
    except HomeNotWritable:
        raise
    except InputError as error:
        moved.append(Moved(digest=wanted.digest or wanted.name, what="refused", problem=str(error)))


def _one(place: Remote, offered: Offered, policy: Policy, advance: Advance) -> Moved:
    wanted, listing = offered.wanted, offered.listing
    with fetching(wanted.name) as folder:
        entry = store.entry_path(listing.adapter)
        if entry.is_dir():
            advance(offered.bytes())
            return received.there_already(entry, offered.manifest, offered.signature, policy)
        parts = {name: folder / f"{name}.{listing.files[name].digest[7:]}.part" for name in ORDER}
        fetched = sum(
            _file(place, f"entries/{wanted.name}/{name}", parts[name], listing.files[name], advance) for name in ORDER
        )
        stage = folder / "entry"
        with disk_errors(stage):
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir()
            for name, part in parts.items():
                part.replace(stage / name)
        if offered.signature is not None:
            write_bytes(stage / SIGNATURE, offered.signature)
        write_bytes(stage / MANIFEST, offered.manifest)
        _, card, signed = received.adopt(stage, policy, wanted.species)
    return Moved(digest=card.digest, what="fetched", species=card.species, version=card.version, bytes=fetched,
                 signed=str(signed), notes=received.version_notes(card))  # fmt: skip


def _file(place: Remote, name: str, part: Path, expected: Size, advance: Advance) -> int:
    """Fetch a file, or what is missing of it, and hash it; how many bytes came."""
    there = part.stat().st_size if part.exists() else 0
    if there > expected.bytes:
        part.unlink()
        there = 0
    advance(there)
    came = _rest(place, name, part, there, expected, advance)
    if digest_file(part) == expected.digest:
        return came
    part.unlink()
    if not there:
        raise InputError(f"{name} is not the one that its {MANIFEST} was written for")
    # What was begun may have been of another file: the place was changed, or this disk.
    advance(-expected.bytes)
    return came + _file(place, name, part, expected, advance)


def _rest(place: Remote, name: str, part: Path, there: int, expected: Size, advance: Advance) -> int:
    came = 0
    try:
        with part.open("ab") as file:
            for piece in place.read(name, there) if there < expected.bytes else ():
                came += len(piece)
                if there + came > expected.bytes:
                    raise InputError(f"{name} has more bytes than the {expected.bytes:,} that its {MANIFEST} lists")
                file.write(piece)
                advance(len(piece))
    except FileNotFoundError as error:
        raise InputError(f"{name} is missing there") from error
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"cannot write {str(part)!r}: {error.strerror or error}; free some space, {GOES_ON}"
        ) from error
    if there + came < expected.bytes:
        raise InputError(f"{name} has {there + came:,} bytes there, its {MANIFEST} lists {expected.bytes:,}")
    return came


def _offered(place: Remote, wanted: Wanted, policy: Policy) -> Offered:
    """Raises InputError where the entry is unfinished, another, too large, or not signed as it is asked for."""
    manifest = content(place, f"entries/{wanted.name}/{MANIFEST}", received.MANIFEST_BYTES)
    if manifest is None:
        raise InputError(f"it is unfinished there: it has no {MANIFEST}; whoever pushed it can run the same push again")
    listing = received.listing(manifest, policy.most_bytes)
    if entry_name(listing.adapter) != wanted.name or not listing.adapter.startswith(wanted.digest):
        raise InputError(f"its {MANIFEST} is of another adapter, {listing.adapter}")
    signature = content(place, f"entries/{wanted.name}/{SIGNATURE}", signing.MOST_BYTES)
    if signature is not None or policy.signature or policy.trusted:
        found = signing.NOT_SIGNED
        if signature is not None:
            found = signing.judged(signature, digest(manifest), signing.names_of_keys())
        policy.judge(found)
    return Offered(wanted, listing, manifest, signature)


def _every(place: Remote) -> list[Wanted]:
    return [Wanted(name) for name in place.names("entries") if re.fullmatch(NAME, name)]


def _found(place: Remote, reference: str) -> Wanted:
    """What a reference means there. Raises NotFound, and InputError where several digests begin so."""
    species, at, alias = reference.partition("@")
    if re.fullmatch(SPECIES, species):
        alias = alias.removeprefix("v") if aliases.is_version(alias.removeprefix("v")) else alias
        alias = aliases.checked(species, alias) if at else _latest(place, species)
        if alias and (meant := _alias(place, species, alias)):
            return Wanted(entry_name(meant), meant, species)
    digits = reference.removeprefix("sha256:").lower()
    if not at and re.fullmatch(r"[0-9a-f]{4,64}", digits):
        names = [digits[:16]] if len(digits) >= 16 else [one.name for one in _every(place)]
        near = [name for name in names if name.startswith(digits[:16])]
        if len(near) > 1:
            raise InputError(f"{reference!r} is the beginning of {len(near)} digests: {', '.join(near[:10])}")
        if near and place.size(f"entries/{near[0]}/{MANIFEST}") is not None:
            return Wanted(near[0], f"sha256:{digits}")
    raise NotFound(_not_found(place, reference, species))


def _latest(place: Remote, species: str) -> str:
    versions = [int(name) for name in place.names(f"aliases/{species}") if aliases.is_version(name)]
    return str(max(versions)) if versions else ""


def _alias(place: Remote, species: str, alias: str) -> str | None:
    """The digest that an alias means there. Raises InputError where it is damaged."""
    name = f"aliases/{species}/{alias}"
    found = content(place, name, ALIAS_BYTES)
    if found is None:
        return None
    text = found.decode("ascii", errors="replace").removesuffix("\n")
    if not re.fullmatch(DIGEST, text):
        raise InputError(f"{name} in {place.shown!r} is damaged: it does not hold a digest")
    return text


def _words(place: Remote, species: str) -> dict[str, str]:
    """The words that mean an entry of a species there; what cannot be one, or be read, is left out."""
    found: dict[str, str] = {}
    with contextlib.suppress(InputError):
        for alias in place.names(f"aliases/{species}"):
            if re.fullmatch(aliases.WORD, alias):
                with contextlib.suppress(InputError):
                    found[alias] = _alias(place, species, alias) or ""
    return found


def _not_found(place: Remote, reference: str, species: str) -> str:
    known = [name for name in place.names("aliases") if re.fullmatch(SPECIES, name)]
    if species in known:
        names = [name for name in place.names(f"aliases/{species}") if re.fullmatch(r"[a-z0-9-]{1,64}", name)]
        advice = f"there is {', '.join(f'{species}@{name}' for name in names[:10])}"
    elif close := difflib.get_close_matches(species, known, n=1, cutoff=0.5):
        advice = f"did you mean {close[0]!r}?"
    elif known:
        more = f" and {len(known) - 10:,} more" if len(known) > 10 else ""
        advice = f"there are: {', '.join(known[:10])}{more}"
    else:
        advice = "no species are there; a place that was pushed to has the folders 'entries' and 'aliases'"
    return f"no entry {reference!r} in {place.shown!r}; {advice}"
