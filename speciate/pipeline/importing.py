"""An adapter made elsewhere becomes an entry: with what is known of it, and `unknown` for the rest. Where its base is
on this machine it is loaded first, so that one that does not fit or says nothing is refused.
"""

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from speciate.errors import AdapterMismatch, BaseNotFound, InputError
from speciate.models.adapter import locate_adapter
from speciate.models.base import HUB_FILES, BaseSource, locate
from speciate.models.kinds import unfit
from speciate.pipeline.checked_loading import ONLY, spoken
from speciate.pipeline.machine import quiet_libraries
from speciate.progress import Progress
from speciate.recipe import find_data
from speciate.records import Card, Parent, UnmeasuredCard
from speciate.records.cards import UNKNOWN
from speciate.registry import aliases, store
from speciate.registry.entry import CARD
from speciate.registry.foreign import Foreign, one_line, take
from speciate.storage import expanded

HUB = "hf://"


@dataclass(frozen=True, slots=True)
class Told:
    """What the person who imports says of an adapter; empty where they leave it to the adapter."""

    species: str
    base: str | None = None
    parents: tuple[Parent, ...] = ()
    licence: str = ""
    description: str = ""
    niche: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """An entry that was made, or was there before."""

    entry: Path
    card: Card
    new: bool
    change: float | None
    """The largest change of a logit of its base; None where it was not loaded."""
    left: list[str]
    """Files that were not taken."""
    notes: list[str] = field(default_factory=list[str])


def import_adapter(reference: str, told: Told, progress: Progress) -> Imported:
    """Register the adapter in a folder or, by `hf://OWNER/NAME`, of the hub.

    Raises InputError where it cannot be taken, AdapterMismatch where it does not fit its base or changes nothing.
    """
    aliases.checked(told.species, "1")
    quiet_libraries()
    if not reference.startswith(HUB):
        folder = expanded(reference)
        origin = f"imported from a folder named {one_line(folder.absolute().name)}"
        return _registered(folder, told, reference, origin, progress)
    from speciate.registry import hub

    with tempfile.TemporaryDirectory() as aside:
        folder = hub.download(reference, Path(aside) / "adapter", progress)
        return _registered(folder, told, reference, f"imported from {one_line(reference)}", progress)


def _registered(folder: Path, told: Told, reference: str, origin: str, progress: Progress) -> Imported:
    with tempfile.TemporaryDirectory() as aside:
        taken = Path(aside)
        # Where it lies to whoever imports it: not in a copy that is gone when they read of it.
        place = reference if reference.startswith(HUB) else str(folder)
        with progress.phase("reading the adapter"):
            try:
                foreign = take(folder, taken, told.base)
            except InputError as error:
                raise InputError(str(error).replace(str(taken), place).replace(str(folder), place)) from error
        base, change, notes = _placed(place, taken, foreign, told, progress)
        made = False

        def card(digest: str, version: int) -> UnmeasuredCard:
            nonlocal made
            made = True
            grown_on = [Parent(kind="trained-from", digest=base["digest"])] if base["digest"] != UNKNOWN else []
            version_of_peft = foreign.config.get("peft_version")
            return UnmeasuredCard(
                species=told.species,
                version=version,
                digest=digest,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                niche=one_line(told.niche) or UNKNOWN,
                description=one_line(told.description, 2000),
                base=base,
                parents=list(told.parents) or grown_on,
                licence=one_line(told.licence) or foreign.licence,
                versions={"peft": one_line(version_of_peft)} if version_of_peft else {},
                origin=origin,
                shape=foreign.shape,
                claims=foreign.claims,
            )

        entry, registered = store.register(taken, card)
    if CARD in foreign.left:
        notes.append(
            f"its {CARD} is left behind, for figures are taken with a whole entry only: `speciate registry pull`"
        )
    return Imported(entry, registered, made, change, foreign.left, notes)


def _placed(
    place: str, taken: Path, foreign: Foreign, told: Told, progress: Progress
) -> tuple[dict[str, str], float | None, list[str]]:
    """What the card says of the base, the largest change of a logit of it, and what to say of both."""
    revision = foreign.config.get("revision")
    base = {
        "name": one_line(foreign.base) or UNKNOWN,
        "revision": one_line(revision) if revision else UNKNOWN,
        "digest": UNKNOWN,
    }
    source = _found(foreign, told)
    if source is None:
        named = f"its base {base['name']!r} is not on this machine" if foreign.base else "it does not name its base"
        return base, None, [f"{named}: whether it loads is not known; give the base with --base to see"]
    reason = unfit(foreign.config)
    change = None
    if not reason:
        try:
            with progress.phase(f"loading {source.name} with the adapter"):
                [change] = spoken(source, {ONLY: locate_adapter(taken)})[1].values()
        except BaseNotFound as error:
            if told.base:
                raise
            return base, None, [f"its base was found and cannot be used: {error}"]
        except AdapterMismatch as error:
            raise AdapterMismatch(
                f"{str(error).replace(str(taken), place)} (the base was {source.name!r} in "
                f"{str(source.folder)!r}; name another with --base)"
            ) from error
    told_of = f"it was not loaded, for {reason}" if reason else ""
    guess = f"nothing proves that it was trained on these bytes of {source.name!r}: the card has the base found here"
    return base | {"digest": source.digest}, change, [note for note in (told_of, guess) if note]


def _found(foreign: Foreign, told: Told) -> BaseSource | None:
    """The base, where it is here; one that a person named is fetched if need be."""
    if told.base:
        return locate(told.base, find_data(told.base, Path.cwd() / "-"))
    name, revision = foreign.base, foreign.config.get("revision")
    folder = (find_data(name, Path.cwd() / "-") or _fetched_before(name, revision)) if name else None
    try:
        return locate(name, folder) if folder else None
    except BaseNotFound:
        return None


def _fetched_before(name: str, revision: object) -> Path | None:
    """The snapshot of a hub model that is on this machine; nothing is fetched for a name in a stranger's file."""
    from huggingface_hub import snapshot_download

    try:
        asked = revision if isinstance(revision, str) else None
        return Path(snapshot_download(name, revision=asked, allow_patterns=HUB_FILES, local_files_only=True))
    except Exception:  # not there, or no name of a model: the client's errors and those of the disk have no common root
        return None
