"""Signatures: who stands for an entry, as `signature.json` beside its manifest says.

What is signed is the digest of `manifest.json`, which has the digest of every other file; so a signature of one entry
says nothing of another, and what was not made for this purpose is no signature. The file has one form only, to the
byte, so that a changed bit anywhere in it is seen.
"""

import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from speciate.errors import InputError, StorageError
from speciate.records.base import Record
from speciate.records.cards import DIGEST
from speciate.registry import keys, places
from speciate.registry.entry import SIGNATURE, check, is_plain, manifest_digest
from speciate.storage import canonical_json, digest, disk_errors, indented_json, parsed, sync_folder
from speciate.untrusted import read_plain

DOMAIN = "speciate registry entry, signature 1"
MOST_BYTES = 4096
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"


class Signature(Record):
    """`signature.json`: every field but the last is in what is signed."""

    schema_: Annotated[Literal["signature/1"], Field(alias="schema")] = "signature/1"
    manifest: Annotated[str, Field(pattern=DIGEST)]
    key: Annotated[str, Field(pattern=DIGEST)]
    """The fingerprint of the key."""
    public: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    time: Annotated[str, Field(pattern=TIME)]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Signed:
    """What is known of an entry's signature."""

    key: str = ""
    """The fingerprint of the key; empty where nothing is signed."""
    name: str = ""
    """Who that is, where the key is one that is trusted."""
    problem: str = ""
    """What is wrong with it."""

    def __str__(self) -> str:
        if self.problem:
            return "not signed rightly"
        if self.name:
            return f"signed by {self.name} (trusted)"
        return f"signed by an unknown key {self.key}" if self.key else "not signed"


NOT_SIGNED = Signed()


def names_of_keys() -> dict[str, str]:
    """The names that trusted keys have here, by fingerprint; our own are trusted."""
    found: dict[str, str] = {}
    for known in keys.every():
        found.setdefault(known.fingerprint, known.name)
    return found


def signed(entry: Path, names: dict[str, str] | None = None) -> Signed:
    """Who has signed an entry as it lies there. `names` are those of `names_of_keys`, read here where not given."""
    path = entry / SIGNATURE
    if not os.path.lexists(path):
        return NOT_SIGNED
    if not is_plain(path):
        return Signed(problem=f"{SIGNATURE} is not a plain file")
    try:
        return judged(read_plain(path, MOST_BYTES), manifest_digest(entry), names_of_keys() if names is None else names)
    except StorageError as error:
        return Signed(problem=str(error))
    except OSError as error:
        return Signed(problem=f"{SIGNATURE} cannot be read: {error.strerror or error}")


def judged(content: bytes, manifest: str, names: dict[str, str]) -> Signed:
    """Who has signed the manifest of this digest, by the bytes of a `signature.json`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(content) > MOST_BYTES:
        return Signed(problem=f"{SIGNATURE} is too large to be one")
    try:
        found = Signature.model_validate(parsed(content.decode()))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        return Signed(problem=f"{SIGNATURE} is damaged: {where}: {first['msg']}")
    except ValueError as error:
        return Signed(problem=f"{SIGNATURE} is damaged: {error}")
    raw = bytes.fromhex(found.public)
    if content != _written(found) or digest(raw) != found.key:
        return Signed(problem=f"{SIGNATURE} is damaged: it is not as it was written")
    if found.manifest != manifest:
        return Signed(problem=f"{SIGNATURE} is of another manifest, {found.manifest}; this entry's is {manifest}")
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(bytes.fromhex(found.signature), _message(found))
    except (InvalidSignature, ValueError):
        return Signed(problem=f"{SIGNATURE} is not right: it was not made with the key {found.key} for this entry")
    return Signed(found.key, names.get(found.key, ""))


def sign(entry: Path, key: str = "", *, replace: bool = False) -> Signed:
    """Sign an entry with a key of ours. What the same key has signed stays as it is.

    Raises InputError where the entry is damaged, or signed by another and not to be replaced.
    """
    name, private = keys.private_key(key)
    ours = Signed(keys.fingerprint(private.public_key()), name)
    with places.locked():
        if problems := check(entry):
            raise InputError(f"{str(entry)!r} is damaged and so is not signed: {'; '.join(problems)}")
        there = signed(entry)
        if there.key == ours.key:
            return there
        if there != NOT_SIGNED and not replace:
            raise InputError(f"{str(entry)!r} is {there} already; --replace puts your signature in its place")
        manifest, now = manifest_digest(entry), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        public = private.public_key().public_bytes_raw().hex()
        blank = Signature(manifest=manifest, key=ours.key, public=public, time=now, signature="0" * 128)
        made = blank.model_copy(update={"signature": private.sign(_message(blank)).hex()})
        put(entry, _written(made))
    return ours


def put(entry: Path, content: bytes) -> None:
    """Lay a signature beside a manifest, at once; under the registry's lock.

    Written beside the entry and moved in: what a killed process leaves in an entry would look like damage.
    """
    path = entry / SIGNATURE
    with disk_errors(path):
        handle, aside = tempfile.mkstemp(dir=entry.parent, prefix=f".{re.sub(r'[^0-9a-f]', '', entry.name)}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).chmod(0o644)
            Path(aside).replace(path)
        finally:
            Path(aside).unlink(missing_ok=True)
        sync_folder(entry)


def _message(signature: Signature) -> bytes:
    said = signature.model_dump(mode="json", by_alias=True, exclude={"signature"})
    return f"{DOMAIN}\n".encode() + canonical_json(said)


def _written(signature: Signature) -> bytes:
    return indented_json(signature.model_dump(mode="json", by_alias=True)).encode()
