"""The registry: a folder of adapters, each an entry named by its content, with its `card.json`.

    registry/entries/<first 16 hex digits of the digest>/
        adapter_model.safetensors  adapter_config.json  card.json  README.md

An entry is those four files, written whole or not at all, and never changed. The folder is all there is; whatever is
faster to search is made from it. Knows nothing of training. What `check` cannot see: a forger who rewrites the card and
the digest in README.md, for nothing here is signed.
"""

import contextlib
import difflib
import os
import re
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speciate.errors import InputError, NotFound, StorageError
from speciate.models.adapter import CONFIG, WEIGHTS, canonical_config
from speciate.records import AdapterCard
from speciate.registry.readme import metadata, readme
from speciate.storage import (
    digest_file,
    digest_json,
    folder_published_whole,
    home,
    read_json,
    writable_folder,
    write_json,
    write_text,
)

CARD, README = "card.json", "README.md"
ENTRY_FILES = frozenset({WEIGHTS, CONFIG, CARD, README})
LOCK_WAIT_S = 300.0


def register(adapter: Path, card: Callable[[str, int], AdapterCard]) -> tuple[Path, AdapterCard]:
    """Publish the adapter in folder `adapter`, and give its entry and its card.

    `card` is called with the content's digest and a version, once to learn the species and once more if that species
    has other versions already. An adapter that is registered already keeps its first entry and card. Raises InputError
    where the folder is no adapter, StorageError where it cannot be written; then nothing of it is in the registry.
    """
    config = _config(adapter)
    weights = _weights(adapter)
    digest = _digest(weights, config)
    entries_folder = writable_folder(_entries_folder())
    entry = entries_folder / _name(digest)
    with _locked(entries_folder.parent):
        _remove_leftovers(entries_folder)
        if entry.exists():
            if problems := check(entry):
                raise StorageError(f"{str(entry)!r} is registered but damaged: {'; '.join(problems)}. Remove it first.")
            return entry, _read_card(entry)
        filled = card(digest, 1)
        version = 1 + max((known.version for known in entries()[0] if known.species == filled.species), default=0)
        filled = filled if version == 1 else card(digest, version)
        if (filled.digest, filled.version) != (digest, version):
            raise ValueError(f"the card says {filled.digest} version {filled.version}, not {digest} version {version}")
        with folder_published_whole(entry) as aside:
            shutil.copyfile(adapter / WEIGHTS, aside / WEIGHTS)
            if digest_file(aside / WEIGHTS) != weights:
                raise StorageError(f"{str(adapter / WEIGHTS)!r} changed while it was being copied; register it again")
            write_json(aside / CONFIG, config)
            write_json(aside / CARD, filled.document())
            write_text(aside / README, readme(filled))
    return entry, filled


def entries() -> tuple[list[AdapterCard], list[str]]:
    """The cards of all entries by species and version, and one line for each entry that cannot be read."""
    cards: list[AdapterCard] = []
    problems: list[str] = []
    folder = _entries_folder()
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if entry.name.startswith("."):
            continue
        try:
            cards.append(_read_card(entry))
        except StorageError as error:
            problems.append(str(error))
    return sorted(cards, key=lambda card: (card.species, card.version)), problems


def entry_of(card: AdapterCard) -> Path:
    """Where the entry of this card lies; it need not exist."""
    return _entries_folder() / _name(card.digest)


def find(reference: str) -> tuple[Path, AdapterCard]:
    """The entry that is meant by a digest or its beginning (4 digits or more), `species`, `species@N` or a folder.

    A species alone means its latest version. Raises NotFound, InputError where several digests begin so, and
    StorageError where the card is damaged.
    """
    folder = Path(reference).expanduser()
    if (folder / CARD).is_file():
        return folder.absolute(), _read_card(folder)
    cards, problems = entries()
    species, _, number = reference.partition("@")
    versions = [card for card in cards if card.species == species]
    matching = [card for card in versions if not number or str(card.version) == number.lstrip("v")]
    if matching:
        return entry_of(matching[-1]), matching[-1]
    if versions:
        known = ", ".join(f"{card.species}@{card.version}" for card in versions)
        raise NotFound(f"{species!r} has no version {number!r}; there is {known}")
    digits = reference.removeprefix("sha256:").lower()
    if re.fullmatch(r"[0-9a-f]{4,64}", digits):
        matching = [card for card in cards if card.digest.removeprefix("sha256:").startswith(digits)]
        if len(matching) > 1:
            listed = "; ".join(f"{_name(card.digest)} is {card.species}@{card.version}" for card in matching)
            raise InputError(f"{reference!r} is the beginning of {len(matching)} digests: {listed}. Give more digits.")
        if matching:
            return entry_of(matching[0]), matching[0]
    raise NotFound(_not_found(reference, cards, problems))


def check(entry: Path) -> list[str]:
    """What is wrong with an entry, one line each, after reading every byte of it; an empty list means nothing."""
    try:
        present = {path.name for path in entry.iterdir()}
    except OSError as error:
        return [f"{str(entry)!r} cannot be read: {error.strerror or error}"]
    problems = [f"{name} is missing" for name in sorted(ENTRY_FILES - present)]
    problems += [f"{name!r} does not belong to an entry" for name in sorted(present - ENTRY_FILES)]
    problems += [f"{name} is not a plain file" for name in sorted(ENTRY_FILES & present) if not _is_plain(entry / name)]
    if problems:
        return problems
    try:
        card = _read_card(entry)
        if metadata((entry / README).read_text(encoding="utf-8", errors="replace")).get("card_digest") != digest_json(
            read_json(entry / CARD)
        ):
            problems.append(f"{CARD} is not the one that {README} was written for")
        if _digest(_weights(entry), _config(entry)) != card.digest:
            problems.append(f"the weights or the configuration are not those of the card: expected {card.digest}")
        if entry.parent == _entries_folder() and entry.name != _name(card.digest):
            problems.append(f"the folder is named {entry.name!r}, its card is of {_name(card.digest)!r}")
    except (StorageError, InputError) as error:
        problems.append(str(error))
    return problems


def _config(adapter: Path) -> dict[str, Any]:
    """The canonical configuration, where the folder holds an adapter and nothing else. Raises InputError."""
    if not adapter.is_dir():
        raise InputError(f"{str(adapter)!r} is not a folder; an adapter is a folder with {WEIGHTS} and {CONFIG}")
    present = {path.name for path in adapter.iterdir()}
    if missing := sorted({WEIGHTS, CONFIG} - present):
        raise InputError(f"{str(adapter)!r} is no PEFT adapter: there is no {' and no '.join(missing)}")
    strange = sorted(name for name in present if name not in ENTRY_FILES or not _is_plain(adapter / name))
    if strange:
        raise InputError(
            f"{str(adapter)!r} holds {', '.join(map(repr, strange))}; an entry takes plain files of these names only: "
            f"{', '.join(sorted(ENTRY_FILES))}. Pickled files (.bin, .pt, .pkl) can run code and are never taken."
        )
    try:
        config = read_json(adapter / CONFIG)
    except StorageError as error:
        raise InputError(str(error)) from error
    if not isinstance(config, dict) or "peft_type" not in config:
        raise InputError(f"{str(adapter / CONFIG)!r} is not the configuration of a PEFT adapter: it has no 'peft_type'")
    return canonical_config({str(key): value for key, value in config.items()})


def _weights(adapter: Path) -> str:
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


def _digest(weights: str, config: dict[str, Any]) -> str:
    return digest_json({WEIGHTS: weights, CONFIG: config})


def _name(digest: str) -> str:
    return digest.removeprefix("sha256:")[:16]


def _entries_folder() -> Path:
    return home() / "registry" / "entries"


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _read_card(entry: Path) -> AdapterCard:
    path = entry / CARD
    try:
        return AdapterCard.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise StorageError(f"{str(path)!r} is no card that this version can read: {where}: {first['msg']}") from error
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """One writer at a time, over all processes of this machine."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=LOCK_WAIT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise StorageError(
            f"another process has held {str(folder / '.lock')!r} for {LOCK_WAIT_S:.0f} s; end it, or try again"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(entries_folder: Path) -> None:
    """What a killed process left half-written: under the lock nobody else is writing."""
    for path in entries_folder.glob(".*"):
        shutil.rmtree(path, ignore_errors=True)


def _not_found(reference: str, cards: list[AdapterCard], problems: list[str]) -> str:
    names = {card.species for card in cards} | {f"{card.species}@{card.version}" for card in cards}
    close = difflib.get_close_matches(reference, sorted(names), n=1, cutoff=0.5)
    if close:
        advice = f"did you mean {close[0]!r}?"
    elif os.sep in reference:
        advice = f"a folder of an adapter holds {CARD}"
    elif names:
        advice = f"there are: {', '.join(sorted({card.species for card in cards}))}"
    else:
        advice = f"the registry {str(_entries_folder())!r} is empty; `speciate train RECIPE` fills it"
    damaged = f" ({len(problems)} damaged entries were left out)" if problems else ""
    return f"no entry {reference!r} in the registry; {advice}{damaged}"
