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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speciate.errors import InputError, NotFound
from speciate.records.cards import SPECIES
from speciate.storage import digest, disk_errors, home, sync_folder, write_bytes

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
    """A new key pair. Raises InputError where the name is taken."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    _free(name)
    private = folder() / f"{_checked(name)}.pem"
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
    public = private.with_suffix(".pub")
    write_bytes(public, public_pem(key.public_key()))
    return Known(name, fingerprint(key.public_key()), True, public)


def private_key(name: str = "") -> tuple[str, "Ed25519PrivateKey"]:
    """A key that signs, with its name; without a name, `default` or the only one there is.

    Raises NotFound, and InputError for a file that others may read or that holds no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = folder() / f"{_checked(name or _only())}.pem"
    content = _read(path, f"there is no key {path.stem!r}; `speciate registry key new {path.stem}` makes one")
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name != "nt" and mode & 0o077:
        raise InputError(f"{str(path)!r} is a private key that others may read (mode {mode:04o}): `chmod 600` it")
    with contextlib.suppress(ValueError, TypeError):
        key = load_pem_private_key(content, password=None)
        if isinstance(key, Ed25519PrivateKey):
            return path.stem, key
    raise InputError(f"{str(path)!r} holds no private Ed25519 key in PKCS8")


def trust(name: str, file: Path) -> Known:
    """Trust what this public key signs, under a name of ours. Raises InputError."""
    key = _public_key(file)
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
    """All keys that have a name here, our own first. Raises InputError for a file that holds none."""
    own = [_known(path, own=True) for path in sorted(folder().glob("[!.]*.pub"))]
    return own + [_known(path, own=False) for path in sorted(trusted_folder().glob("[!.]*.pub"))]


def fingerprint(key: "Ed25519PublicKey") -> str:
    """What a key is known by."""
    return digest(key.public_bytes_raw())


def public_pem(key: "Ed25519PublicKey") -> bytes:
    """A public key as a text file."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _known(path: Path, *, own: bool) -> Known:
    return Known(path.stem, fingerprint(_public_key(path)), own, path)


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
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError as error:
        raise NotFound(missing) from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error


def _only() -> str:
    names = sorted(path.stem for path in folder().glob("[!.]*.pem"))
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
