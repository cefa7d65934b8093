"""What a person means by the name of a model: an adapter of the registry, of a run or in a folder, or a base.

An adapter's base is known by its bytes where its card or its run says so, else by its name alone.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speciate import runs
from speciate.errors import AdapterMismatch, InputError, NotFound
from speciate.models.adapter import CONFIG, WEIGHTS, AdapterSource, locate_adapter
from speciate.models.base import BaseSource, folder_meant, locate
from speciate.models.contents import check_finite, contents
from speciate.pipeline.folder import START
from speciate.recipe import find_data
from speciate.records import AdapterCard
from speciate.records.cards import UNKNOWN
from speciate.registry import store
from speciate.registry.entry import CARD
from speciate.storage import expanded


@dataclass(frozen=True, slots=True)
class Meant:
    """One adapter that was asked for."""

    reference: str
    source: AdapterSource
    base: dict[str, Any]
    """`name`, `revision` and `digest` of its base, as far as they are known."""
    species: str = ""
    version: int | None = None
    run: str = ""
    seed: int | None = None

    @property
    def label(self) -> str:
        """A short name that can be that of a file."""
        name = f"{self.species}@{self.version}" if self.species and self.version else self.species or self.reference
        return named_so(Path(name))


def named_so(path: Path) -> str:
    """The last part of a path as a name that can be that of a file."""
    return re.sub(r"[^\w@.-]+", "-", path.name).strip(".-")[:60] or "adapter"


def meant(references: Iterable[str]) -> tuple[list[Meant], list[str]]:
    """The adapters that are meant, and the references that can only be bases.

    Raises NotFound for one that is neither, InputError for an adapter that is cut or holds numbers that are none.
    """
    adapters: list[Meant] = []
    bases: list[str] = []
    for reference in references:
        folder = expanded(reference)
        if not store.is_path(reference) and (entry := _registered(reference)):
            adapters.append(_in_folder(reference, entry))
        elif (folder / CONFIG).is_file() or (folder / WEIGHTS).is_file():
            adapters.append(_in_folder(reference, folder))
        elif (folder / "adapter" / CONFIG).is_file() and (folder / START).is_file():
            adapters.append(_of_run(reference, folder))
        elif (folder / "config.json").is_file():
            bases.append(reference)
        elif (run := runs.folder() / reference / "adapter").is_dir():
            adapters.append(_of_run(reference, run.parent))
        else:
            try:
                path, _ = store.find(reference)
            except NotFound as error:
                check_can_be_base(reference, error)
                bases.append(reference)
            else:
                adapters.append(_in_folder(reference, path))
    for adapter in adapters:
        contents(adapter.source.folder / WEIGHTS)
        check_finite(adapter.source.folder / WEIGHTS)
    return adapters, bases


def check_can_be_base(reference: str, unknown: NotFound) -> None:
    """Raises NotFound for what is neither a folder nor can be a name of the hub; `unknown` where it can be no path."""
    if find_data(reference, Path.cwd() / "-") is not None:
        return
    if reference.startswith((".", "/", "~")) or reference.count("/") > 1:
        hint = folder_meant(reference) or "Give a folder, a species of the registry, a run, or a model of the hub."
        raise NotFound(f"there is no adapter or base at {reference!r}. {hint}")
    if "/" not in reference:
        raise unknown


def base_of(adapters: Iterable[Meant], bases: Iterable[str], given: str | None) -> BaseSource:
    """The one base on which all are measured: `given`, else the one that is named.

    Raises InputError where several are meant, AdapterMismatch where an adapter was trained on other bytes.
    """
    named = {*([given] if given else []), *bases} or {str(adapter.base.get("name") or "") for adapter in adapters}
    if len(named) > 1:
        listed = ", ".join(map(repr, sorted(named)))
        raise InputError(f"an evaluation is of one base and its adapters, and these are several: {listed}")
    [name] = named
    if not name:
        raise InputError("the adapter does not say which base it was trained on: name it with --base")
    revision = next((adapter.base.get("revision") for adapter in adapters if adapter.base.get("name") == name), None)
    source = locate(name, find_data(name, Path.cwd() / "-"), revision)
    for adapter in adapters:
        digest = adapter.base.get("digest")
        if digest and digest != source.digest:
            raise AdapterMismatch(
                f"{adapter.reference!r} was trained on another base: on {adapter.base.get('name')!r} with digest "
                f"{digest}, and {source.name!r} has {source.digest}. Name its own base with --base."
            )
    return source


def unchecked(adapters: Iterable[Meant], base: BaseSource) -> list[str]:
    """What to say of adapters whose base is not known by its bytes."""
    said: list[str] = []
    for adapter in adapters:
        if not adapter.base.get("digest"):
            name = adapter.base.get("name")
            own = f"its configuration names {name!r}" if name else "its configuration names none"
            lacks = "has no card" if not adapter.species else "has a card that does not know its base's digest"
            said.append(
                f"{adapter.reference!r} {lacks}, so nothing proves that it was trained on {base.name!r} ({own})"
            )
    return said


def _registered(reference: str) -> Path | None:
    """The entry that a bare name means, whatever folder of that name is here; None where it means none."""
    try:
        return store.find(reference)[0]
    except NotFound:
        return None


def _in_folder(reference: str, folder: Path) -> Meant:
    source = locate_adapter(folder)
    if (folder / CARD).is_file():
        _, card = store.find(str(folder))
        if card.digest != source.digest:
            raise AdapterMismatch(
                f"{str(folder)!r} is damaged: its card is of the adapter {card.digest}, its files are {source.digest}"
            )
        run, seed = (card.run, card.seed) if isinstance(card, AdapterCard) else ("", None)
        base = {key: value for key, value in card.base.items() if value != UNKNOWN}
        return Meant(reference, source, base, card.species, card.version, run, seed)
    if (folder.absolute().parent / START).is_file() and folder.name == "adapter":
        return _of_run(reference, folder.absolute().parent)
    return Meant(reference, source, {"name": source.base})


def _of_run(reference: str, folder: Path) -> Meant:
    start = runs.read_start(folder / START)
    recipe: dict[str, Any] = start["recipe"]
    source = locate_adapter(folder / "adapter")
    return Meant(reference, source, start["base"], recipe["species"], None, folder.name, recipe["seed"])
