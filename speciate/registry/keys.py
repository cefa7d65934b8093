"""Ed25519 keys: our own, which sign, and those of others, whose signatures are trusted.

    <home>/keys/<name>.pem              private, PKCS8, readable by its owner only
    <home>/keys/<name>.pub              its public half, to be given away
    <home>/keys/trusted/<name>.pub      the public key of somebody else, under the name that we gave it

A key is known by its fingerprint: the SHA-256 of the 32 bytes of the public key.
"""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speciate.errors import InputError, NotFound
from speciate.records.cards import SPECIES
from speciate.storage import digest, disk_errors, expanded, home, sync_folder, write_bytes
from speciate.untrusted import read_plain

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

DEFAULT = "default"
MOST_BYTES = 16 * 1024
"""A file that is larger holds no key."""


@dataclass(frozen=True, slots=True)
class Known:
    """A public key that has a name here."""

    name: str
    fingerprint: str
    own: bool
    """Whether its private half is here, too."""
    file: Path


def folder() -> Path:
    """Where our own keys lie."""
    return home() / "keys"


def trusted_folder() -> Path:
    """Where the keys of others lie."""
    return folder() / "trusted"


def make(name: str = DEFAULT) -> Known:
    """A new key pair; of one whose public half is gone, that half. Raises InputError where the name is taken."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = folder() / f"{_checked(name)}.pem"
    if private.exists() and not private.with_suffix(".pub").exists():
        return _published(private, private_key(name)[1])
    _free(name)
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with disk_errors(private):
        folder().mkdir(parents=True, exist_ok=True)
        aside = folder() / f".{name}.{os.getpid()}.pem"
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link, for a rename would write over the key that another process made meanwhile.
            private.hardlink_to(aside)
        except FileExistsError as error:
            raise InputError(f"there is a key {name!r} already: {str(private)!r}") from error
        finally:
            aside.unlink()
        sync_folder(folder())
    return _published(private, key)


def private_key(name: str = "") -> tuple[str, "Ed25519PrivateKey"]:
    """A key that signs, with its name; without a name, `default` or the only one there is.

    Raises NotFound, and InputError for a file that others may read or that holds no such key.
    """
    path = folder() / f"{_checked(name or _only())}.pem"
    content = _read(path, f"there is no key {path.stem!r}; `speciate registry key new {path.stem}` makes one")
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name != "nt" and mode & 0o077:
        raise InputError(f"{str(path)!r} is a private key that others may read (mode {mode:04o}): `chmod 600` it")
    return path.stem, _private_in(path, content)


def trust(name: str, file: Path) -> Known:
    """Trust what this public key signs, under a name of ours. Raises InputError."""
    # A link that a person names is one that they mean.
    key = _public_key(Path(os.path.realpath(expanded(file))))
    found = fingerprint(key)
    for known in every():
        if known.name == name and known.fingerprint != found:
            whose = "one of your own keys" if known.own else f"the key {known.fingerprint}, which is trusted already"
            raise InputError(
                f"{name!r} is {whose}; choose another name, or `speciate registry key forget {name}` first"
            )
    path = trusted_folder() / f"{_checked(name)}.pub"
    write_bytes(path, public_pem(key))
    return Known(name, found, False, path)


def forget(name: str) -> None:
    """Trust a key of somebody else no longer. Raises NotFound."""
    path = trusted_folder() / f"{_checked(name)}.pub"
    if not path.exists():
        own = (
            f"; your own key lies in {str(folder())!r}, remove it there" if (folder() / f"{name}.pem").exists() else ""
        )
        raise NotFound(f"no key {name!r} is trusted{own}")
    with disk_errors(path):
        path.unlink()
        sync_folder(path.parent)


def every() -> list[Known]:
    """All keys that have a name here, our own first. What holds no key is left out, and told by `damaged`."""
    return [found for found in _looked() if isinstance(found, Known)]


def damaged() -> list[tuple[Path, str]]:
    """Files that hold no key, or not the one that they should, and what to do."""
    return [found for found in _looked() if not isinstance(found, Known)]


def _looked() -> Iterator[Known | tuple[Path, str]]:
    own = {path.stem: path for path in _files(folder(), ".pem")}
    for path in own.values():
        yield _tried(path, _own)
        yield from _halved(path)
    for path in _files(folder(), ".pub"):
        if path.stem not in own:
            advice = "`speciate registry key trust NAME FILE` trusts it"
            yield path, f"{str(path)!r} has no private key beside it, so it is none of our own; {advice}"
    for path in _files(trusted_folder(), ".pub"):
        yield _tried(path, _trusted)


def _files(place: Path, ending: str) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.suffix == ending and not path.name.startswith("."))
    except OSError:
        return []


def _tried(path: Path, known: Callable[[Path], Known]) -> Known | tuple[Path, str]:
    try:
        return (
            known(path) if re.fullmatch(SPECIES, path.stem) else (path, f"{str(path)!r} is named as no key: rename it")
        )
    except InputError as error:
        return path, str(error)


def _own(path: Path) -> Known:
    """By its private half alone: whatever lies beside it, this is the key that signs."""
    public = _private_in(path, _read(path, f"there is no file {str(path)!r}")).public_key()
    return Known(path.stem, fingerprint(public), True, path.with_suffix(".pub"))


def _trusted(path: Path) -> Known:
    return Known(path.stem, fingerprint(_public_key(path)), False, path)


def _halved(path: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong with the public half of a key of ours."""
    public = path.with_suffix(".pub")
    advice = f"remove it, and `speciate registry key new {path.stem}` writes it again"
    try:
        if _own(path).fingerprint != fingerprint(_public_key(public)):
            yield public, f"{str(public)!r} is not the public half of {path.name}; {advice}"
    except NotFound:
        yield (
            public,
            f"the public half of {path.name} is missing; `speciate registry key new {path.stem}` writes it again",
        )
    except InputError as error:
        yield public, f"{error}; {advice}"


def fingerprint(key: "Ed25519PublicKey") -> str:
    """What a key is known by."""
    return digest(key.public_bytes_raw())


def public_pem(key: "Ed25519PublicKey") -> bytes:
    """A public key as a text file."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _published(private: Path, key: "Ed25519PrivateKey") -> Known:
    """A key of ours, when its public half is written beside it."""
    public = private.with_suffix(".pub")
    write_bytes(public, public_pem(key.public_key()))
    return Known(private.stem, fingerprint(key.public_key()), True, public)


def _private_in(path: Path, content: bytes) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = load_pem_private_key(content, password=None)
        if isinstance(key, Ed25519PrivateKey):
            return key
    raise InputError(f"{str(path)!r} holds no private Ed25519 key in PKCS8")


def _public_key(file: Path) -> "Ed25519PublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read(file, f"there is no file {str(file)!r}")
    with contextlib.suppress(ValueError, UnsupportedAlgorithm):
        key = load_pem_public_key(content)
        if isinstance(key, Ed25519PublicKey):
            return key
    raise InputError(f"{str(file)!r} holds no public Ed25519 key in PEM, as `speciate registry key new` makes one")


def _read(path: Path, missing: str) -> bytes:
    try:
        return read_plain(path, MOST_BYTES)
    except FileNotFoundError as error:
        raise NotFound(missing) from error


def _only() -> str:
    names = [path.stem for path in _files(folder(), ".pem")]
    if DEFAULT in names or not names:
        return DEFAULT
    if len(names) > 1:
        raise InputError(f"there are several keys ({', '.join(names)}); say which one: --key {names[0]}")
    return names[0]


def _checked(name: str) -> str:
    if not re.fullmatch(SPECIES, name):
        raise InputError(f"{name!r} is no name of a key: small letters, digits and hyphens")
    return name


def _free(name: str) -> None:
    _checked(name)
    for path in (folder() / f"{name}.pem", folder() / f"{name}.pub", trusted_folder() / f"{name}.pub"):
        if path.exists():
            raise InputError(f"there is a key {name!r} already: {str(path)!r}")
