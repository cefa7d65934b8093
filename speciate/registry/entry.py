"""One entry: a folder of plain files named by the adapter's content, and what can be wrong with it.

    <first 16 hex digits of the digest>/
        adapter_model.safetensors  adapter_config.json  card.json  README.md  manifest.json  [signature.json]

`manifest.json` has the size and the digest of every other file, so a changed byte anywhere is seen. What `check` cannot
see: a forger who writes the manifest anew; the index and a signature (`signing.py`) are witnesses against him.
"""

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speciate.errors import InputError, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS, canonical_config
from speciate.records import Card
from speciate.records.cards import CARDS
from speciate.storage import canonical_json, digest, digest_file, digest_json, indented_json, parsed, shown, unreadable
from speciate.untrusted import MOST_BYTES, read_plain

CARD, README, MANIFEST, SIGNATURE = "card.json", "README.md", "manifest.json", "signature.json"
CONTENT = (WEIGHTS, CONFIG, CARD, README)
ENTRY_FILES = frozenset({*CONTENT, MANIFEST})
MOST_DEEP = 64
"""A card that is nested deeper is none; who walks through a recipe calls itself for each level."""


def entry_name(digest: str) -> str:
    """The folder's name."""
    return digest.removeprefix("sha256:")[:16]


def adapter_digest(weights: str, config: dict[str, Any]) -> str:
    """What names an adapter: the digest of its weights and of its canonical configuration."""
    return digest_json({WEIGHTS: weights, CONFIG: config})


def config_of(adapter: Path) -> dict[str, Any]:
    """The canonical configuration, where the folder holds an adapter and nothing else. Raises InputError."""
    if not adapter.is_dir():
        raise InputError(f"{str(adapter)!r} is not a folder; an adapter is a folder with {WEIGHTS} and {CONFIG}")
    present = {path.name for path in adapter.iterdir()}
    if missing := sorted({WEIGHTS, CONFIG} - present):
        raise InputError(f"{str(adapter)!r} is no PEFT adapter: there is no {' and no '.join(missing)}")
    taken = ENTRY_FILES | {SIGNATURE}
    strange = sorted(name for name in present if name not in taken or not is_plain(adapter / name))
    if strange:
        raise InputError(
            f"{str(adapter)!r} holds {', '.join(map(repr, strange))}; an entry takes plain files of these names only: "
            f"{', '.join(sorted(taken))}. Pickled files (.bin, .pt, .pkl) can run code and are never taken."
        )
    try:
        config = _json_in(adapter / CONFIG)
    except StorageError as error:
        raise InputError(str(error)) from error
    if not isinstance(config, dict) or "peft_type" not in config:
        raise InputError(f"{str(adapter / CONFIG)!r} is not the configuration of a PEFT adapter: it has no 'peft_type'")
    return canonical_config({str(key): value for key, value in config.items()})


def weights_of(adapter: Path) -> str:
    """The digest of the weights, where they are a safetensors file with a tensor in it. Raises InputError."""
    from safetensors import SafetensorError, safe_open

    path = adapter / WEIGHTS
    try:
        with safe_open(path, framework="numpy") as tensors:
            empty = not tensors.keys()
    except (SafetensorError, OSError) as error:
        raise InputError(f"{str(path)!r} is not a safetensors file: {error}") from error
    if empty:
        raise InputError(f"{str(path)!r} holds no tensor")
    return digest_file(path)


def is_plain(path: Path) -> bool:
    """Whether it is a file, and no link to one; not where that cannot be seen."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def read_card(entry: Path) -> Card:
    """The card of an entry. Raises StorageError."""
    path = entry / CARD
    try:
        # Of a key that is there twice, every reader takes another value.
        found = _json_in(path, distinct=True)
        if _is_deeper(found, MOST_DEEP):
            raise StorageError(f"{str(path)!r} is no card: it is nested more than {MOST_DEEP} deep")
        # Every number of it can be written again: none is NaN or infinite.
        canonical_json(found)
        return CARDS.validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise StorageError(f"{str(path)!r} is no card that this version can read: {where}: {first['msg']}") from error
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise unreadable(path, error) from error


def manifest_of(entry: Path, digest: str) -> dict[str, Any]:
    """What `manifest.json` says of the files that lie in a folder."""
    files = {name: {"bytes": (entry / name).stat().st_size, "digest": digest_file(entry / name)} for name in CONTENT}
    return {"schema": "manifest/1", "adapter": digest, "files": files}


def write_manifest(entry: Path, digest: str) -> None:
    """Write the last file of an entry, when all others are there; whoever publishes the folder flushes it."""
    (entry / MANIFEST).write_text(indented_json(manifest_of(entry, digest)), encoding="utf-8")


def manifest_digest(entry: Path) -> str:
    """What a signature signs, and what the index remembers. Raises StorageError."""
    try:
        return digest(read_plain(entry / MANIFEST, MOST_BYTES))
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{str(entry / MANIFEST)!r} cannot be read: {error.strerror or error}") from error


def check(entry: Path) -> list[str]:
    """What is wrong with an entry, one line each, after reading every byte of it; an empty list means nothing."""
    try:
        return _missing(entry) or _differing(entry)
    except (StorageError, InputError) as error:
        return [str(error)]
    except OSError as error:
        return [f"{str(error.filename or entry)!r} cannot be read: {error.strerror or error}"]


def misplaced(entry: Path, card: Card) -> list[str]:
    """What is wrong with the place of an entry in a registry."""
    expected = entry_name(card.digest)
    link = [f"{str(entry)!r} is a link; an entry is a folder that lies in the registry"] if entry.is_symlink() else []
    named = [] if entry.name == expected else [f"the folder is named {entry.name!r}, its card is of {expected!r}"]
    return link + named


def _missing(entry: Path) -> list[str]:
    """What an entry lacks or has too much."""
    present = {path.name for path in entry.iterdir()}
    return [
        *(f"{name} is missing" for name in sorted(ENTRY_FILES - present)),
        *(f"{name!r} does not belong to an entry" for name in sorted(present - ENTRY_FILES - {SIGNATURE})),
        *(f"{name} is not a plain file" for name in sorted(ENTRY_FILES & present) if not is_plain(entry / name)),
        *(
            f"{name} has {size:,} bytes, at most {MOST_BYTES:,} are read"
            for name in sorted((ENTRY_FILES & present) - {WEIGHTS})
            if (size := (entry / name).lstat().st_size) > MOST_BYTES
        ),
    ]


def _differing(entry: Path) -> list[str]:
    """What is not as the card and the manifest have it."""
    card = read_card(entry)
    changed = _changed(entry, card.digest)
    if adapter_digest(weights_of(entry), config_of(entry)) == card.digest:
        return [_unlike_manifest(name) for name in changed]
    others = [_unlike_manifest(name) for name in changed if name not in (WEIGHTS, CONFIG)]
    return [*others, f"the weights or the configuration are not those of the card: expected {card.digest}"]


def remedy(entry: Path) -> str:
    """What to do with an entry that is damaged."""
    return f"`speciate registry rm {shown(Path(entry.name))}` takes it out; then pull it, import it or train it again"


def _changed(entry: Path, digest: str) -> list[str]:
    """The files that are not those of the manifest, to the byte; the manifest where it is damaged itself."""
    listed = _json_in(entry / MANIFEST)
    found = manifest_of(entry, digest)
    if listed == found and read_plain(entry / MANIFEST, MOST_BYTES) == indented_json(found).encode():
        return []
    named = listed.get("files") if isinstance(listed, dict) else None
    if not isinstance(named, dict):
        return [MANIFEST]
    return [name for name in CONTENT if named.get(name) != found["files"][name]] or [MANIFEST]


def _unlike_manifest(name: str) -> str:
    return f"{name} is damaged" if name == MANIFEST else f"{name} is not the one that {MANIFEST} was written for"


def _json_in(path: Path, *, distinct: bool = False) -> Any:
    """The value of a file that may be anything. Raises StorageError, and FileNotFoundError where it is missing."""
    try:
        return parsed(read_plain(path, MOST_BYTES).decode("utf-8-sig"), distinct=distinct)
    except StorageError:
        raise
    except ValueError as error:
        raise unreadable(path, error) from error


def _is_deeper(value: Any, most: int) -> bool:
    """Whether values of JSON lie in each other more than so deep."""
    level = [value]
    for _ in range(most):
        level = [inner for one in level for inner in _within(one)]
    return bool(level)


def _within(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
