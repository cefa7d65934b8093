"""What comes from elsewhere, before it is ours: what its manifest may say, whose signature is asked for, and how it
becomes an entry of this registry.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from speciate.errors import InputError, StorageError
from speciate.models.adapter import WEIGHTS
from speciate.records.base import Record
from speciate.records.cards import DIGEST, Card
from speciate.records.exchange import Moved
from speciate.registry import aliases, places, signing, store
from speciate.registry.entry import CARD, CONTENT, MANIFEST, SIGNATURE, check, manifest_digest, read_card
from speciate.registry.signing import Signed
from speciate.storage import parsed
from speciate.untrusted import MOST_BYTES

WEIGHTS_BYTES = 16 * 2**30
"""Weights that are larger are only taken where it is asked for."""
MANIFEST_BYTES = 64 * 1024
FETCHED = frozenset({*CONTENT, MANIFEST, SIGNATURE})
"""Nothing else is ever fetched."""
MOST_VERSION = 10**6
"""Our own next version comes after it."""
Taking = Literal["free", "overwrite", "none"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is taken from elsewhere."""

    signature: bool = False
    """Only what is signed."""
    trusted: bool = False
    """Only what a trusted key has signed."""
    most_bytes: int = WEIGHTS_BYTES
    aliases: Taking = "free"
    """Words that mean an entry there: where they are free here, in any case, or not at all."""

    def judge(self, signed: Signed) -> None:
        """Raises InputError where a signature is wrong, or not one that is asked for."""
        if signed.problem:
            raise InputError(signed.problem)
        if (self.signature or self.trusted) and not signed.key:
            raise InputError("it is not signed, and a signature is asked for")
        if self.trusted and not signed.name:
            raise InputError(
                f"it is {signed}, which is not trusted; `speciate registry key trust NAME FILE.pub` trusts a key"
            )


class Size(Record):
    """A file as a manifest has it."""

    bytes: Annotated[int, Field(ge=0, strict=True)]
    digest: Annotated[str, Field(pattern=DIGEST)]


class Listing(Record):
    """`manifest.json`."""

    schema_: Annotated[Literal["manifest/1"], Field(alias="schema")]
    adapter: Annotated[str, Field(pattern=DIGEST)]
    files: dict[Literal["adapter_model.safetensors", "adapter_config.json", "card.json", "README.md"], Size]


def listing(content: bytes, most_bytes: int = WEIGHTS_BYTES) -> Listing:
    """A manifest that somebody else wrote. Raises InputError where it lists other files or more than it may."""
    try:
        found = Listing.model_validate(parsed(content.decode()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(f"{MANIFEST} is no manifest: {where[:100]!r}: {first['msg']}") from error
    except ValueError as error:
        raise InputError(f"{MANIFEST} is damaged: {error}") from error
    if missing := [name for name in CONTENT if name not in found.files]:
        raise InputError(f"{MANIFEST} does not list {', '.join(missing)}")
    for name, size in found.files.items():
        most = most_bytes if name == WEIGHTS else MOST_BYTES
        if size.bytes > most:
            advice = "; --max-bytes takes more" if name == WEIGHTS else ""
            raise InputError(f"{MANIFEST} lists {name} with {size.bytes:,} bytes, at most {most:,} are taken{advice}")
    return found


def adopt(folder: Path, policy: Policy, species: str = "") -> tuple[Path, Card, Signed]:
    """Make the entry in a folder one of this registry. Raises InputError where it is damaged, not signed as it is
    asked for, or not of the species that was meant.
    """
    if problems := check(folder):
        raise InputError("; ".join(problems))
    card = read_card(folder)
    try:
        card.document()
    except ValueError as error:
        raise InputError(f"its {CARD} could never be written again: {error}") from error
    if card.version > MOST_VERSION:
        raise InputError(f"its version is {card.version:,}, and none above {MOST_VERSION:,} is taken from elsewhere")
    if species and card.species != species:
        raise InputError(f"it was found as {species!r}, and its card is of {card.species!r}")
    policy.judge(signing.signed(folder))
    entry, card = store.adopt(folder)
    return entry, card, signing.signed(entry)


def there_already(entry: Path, manifest: bytes, signature: bytes | None, policy: Policy) -> Moved:
    """What to say of an adapter that is registered here. A signature that it lacks is added."""
    if problems := check(entry):
        raise InputError(f"it is here already and damaged: {'; '.join(problems)}; `speciate registry rm` removes it")
    card, notes = read_card(entry), list[str]()
    if (entry / MANIFEST).read_bytes() != manifest:
        notes.append(f"the same adapter is here with another card, as {card.species}@{card.version}, which is kept")
    elif signature is not None and signing.signed(entry) == signing.NOT_SIGNED:
        named = signing.judged(signature, manifest_digest(entry), signing.names_of_keys())
        policy.judge(named)
        with places.locked():
            signing.put(entry, signature)
        notes.append("its signature was added")
    signed = signing.signed(entry)
    policy.judge(signed)
    return Moved(digest=card.digest, what="there already", species=card.species, version=card.version,
                 signed=str(signed), notes=notes)  # fmt: skip


def version_notes(card: Card) -> list[str]:
    """Says where the version of an adopted entry is another's here."""
    if _meant(card.species, str(card.version)) == card.digest:
        return []
    return [
        f"{card.species}@{card.version} is another adapter here, so this one has no version; its digest "
        f"{card.digest.removeprefix('sha256:')[:16]} finds it"
    ]


def aliases_taken(species: str, digest: str, there: Mapping[str, str], taking: Taking) -> list[str]:
    """Let the words that mean this entry elsewhere mean it here, where they may; what is to be said of it."""
    notes: list[str] = []
    for alias in sorted(word for word, means in there.items() if means == digest and taking != "none"):
        meant = _meant(species, alias)
        if meant is None or (meant != digest and taking == "overwrite"):
            store.point(species, alias, digest)
        elif meant != digest:
            notes.append(f"{species}@{alias} means another adapter here and is kept; --aliases overwrite moves it")
    return notes


def _meant(species: str, alias: str) -> str | None:
    path = aliases.path_of(species, alias)
    if not os.path.lexists(path):
        return None
    try:
        return aliases.read(path)
    except StorageError:
        return ""
