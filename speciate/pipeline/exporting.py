"""Entries in the forms that other programs take: a PEFT folder, a merged model, a GGUF file, a line for vLLM.

A target is a folder that is missing or empty, and there whole or not at all.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from speciate.errors import AdapterMismatch, BaseAltered, BaseNotFound, InputError
from speciate.evals.intact import logits, whole
from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.models.base import BaseSource, Compute, Precision, as_precision, digest_folder, load_model
from speciate.models.derived import Part, at_one_alpha
from speciate.models.merging import differences, melted, save_melted
from speciate.pipeline import gguf, serving
from speciate.pipeline.checked_loading import ONLY, sound, spoken
from speciate.pipeline.evaluation import PLAIN
from speciate.pipeline.machine import quiet_libraries
from speciate.pipeline.references import base_of, meant
from speciate.progress import Progress
from speciate.recipe import find_data
from speciate.records import Card
from speciate.records.cards import UNKNOWN
from speciate.registry.entry import CARD, README
from speciate.registry.readme import readme
from speciate.storage import expanded, folder_published_whole, read_json, write_json, write_text

Form = Literal["peft", "merged", "gguf", "vllm"]
ON_THE_CPU = Compute("cpu", "float32", "float32")
CLOSE = 1e-3
"""Of the largest logit: how far a merged model may be from base and adapter before its weights are rounded."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what it is worth."""

    form: Form
    folder: Path | None
    adapters: list[Card]
    line: str = ""
    figures: dict[str, float] = field(default_factory=dict[str, float])
    warnings: list[str] = field(default_factory=list[str])


def export(
    references: Sequence[str], form: Form, target: Path | None, base: str | None, dtype: str, progress: Progress
) -> Exported:
    """Write what is asked for. Raises InputError before anything is written where that cannot be."""
    if form != "vllm" and (len(references) != 1 or target is None):
        raise InputError(f"--format {form} takes one adapter, and the folder to write with --to")
    free = None if target is None else _free(target)
    found = [sound(reference) for reference in references]
    if form == "vllm" or free is None:
        return _served(found, free, base)
    [(path, card)] = found
    with progress.phase(f"exporting {card.species}@{card.version}"):
        if form == "peft":
            with folder_published_whole(free) as aside:
                fill(aside, path, card)
            return Exported(form, free, [card], warnings=found_from_here_only(free))
        if form == "gguf":
            return _converted(references[0], path, card, free, base)
        return _merged(references[0], card, free, base, dtype)


def fill(folder: Path, entry: Path, card: Card) -> None:
    """Write what PEFT, and all that reads its folders, takes; with the card beside, which they leave alone."""
    folder.mkdir(exist_ok=True)
    shutil.copyfile(entry / WEIGHTS, folder / WEIGHTS)
    write_json(folder / CONFIG, read_json(entry / CONFIG))
    write_json(folder / CARD, card.document())
    write_text(folder / README, readme(card))


def found_from_here_only(folder: Path) -> list[str]:
    """What to say of an adapter whose base PEFT does not find by itself from everywhere.

    The name stays as it is: the digest covers it, and a path of this machine must not travel.
    """
    name = str(read_json(folder / CONFIG).get("base_model_name_or_path") or "")
    if Path(name).is_absolute() and Path(name).is_dir():
        return []
    here = find_data(name, Path.cwd() / "-") if name and not name.startswith("~") else None
    if here:
        where = str(here.absolute().parents[len(Path(name).parts) - 1])
        says = f"names its base {name!r}, a folder that is found from {where!r} alone"
    elif name.startswith((".", "/", "~")) or name.count("/") != 1:
        says = f"names its base {name!r}, which is no model of the hub" if name else "does not name its base"
    else:
        return []
    return [
        f"the configuration {says}, so AutoPeftModelForCausalLM.from_pretrained may not find it. Load the base from "
        f"where it lies, then PeftModel.from_pretrained(base, {str(folder)!r})"
    ]


def _converted(reference: str, path: Path, card: Card, target: Path, base: str | None) -> Exported:
    """A file for llama.cpp, which knows one alpha and no rsLoRA: what has more is brought to that first."""
    script = gguf.converter()
    source = _base(reference, base)
    name = f"{card.species}-{card.version}.gguf"
    config = read_json(path / CONFIG)
    with tempfile.TemporaryDirectory() as plain, folder_published_whole(target) as aside:
        if config.get("use_rslora") or config.get("alpha_pattern"):
            at_one_alpha(Part(f"{card.species}@{card.version}", path), Path(plain))
            path = Path(plain)
        gguf.convert(script, path, source.folder, aside / name)
    return Exported("gguf", target, [card], figures={"bytes": float((target / name).stat().st_size)})


def _served(found: Sequence[tuple[Path, Card]], target: Path | None, base: str | None) -> Exported:
    """The line for vLLM, over the entries as they lie or over copies in `target`."""
    cards = [card for _, card in found]
    name = base or _one_base(cards)
    labels = [f"{card.species}@{card.version}" for card in cards]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise InputError(f"{twice} is named twice, or two adapters have that name: vLLM needs a name for each")
    if target is not None:
        with folder_published_whole(target) as aside:
            for label, (path, card) in zip(labels, found, strict=True):
                fill(aside / label, path, card)
    places = {
        label: (path.absolute() if target is None else target / label, read_json(path / CONFIG))
        for label, (path, _) in zip(labels, found, strict=True)
    }
    here = find_data(name, Path.cwd() / "-")
    line = serving.line(str(here.absolute()) if here else name, places)
    warnings = [said for label, (_, config) in places.items() for said in serving.unserved(label, config)]
    return Exported("vllm", target, cards, line, warnings=warnings)


def _one_base(cards: Sequence[Card]) -> str:
    names = {str(card.base.get("name") or UNKNOWN) for card in cards}
    digests = {str(card.base.get("digest") or UNKNOWN) for card in cards} - {UNKNOWN}
    if len(names) > 1 or len(digests) > 1:
        raise AdapterMismatch(f"one server has one base, and these adapters have several: {', '.join(sorted(names))}")
    if UNKNOWN in names:
        raise InputError("the base of the adapter is not known: name it with --base")
    [name] = names
    if not name.isprintable():
        raise InputError(f"the base of the adapters is named {name!r}, which is no name: give it with --base")
    return name


def _merged(reference: str, card: Card, target: Path, base: str | None, dtype: str) -> Exported:
    """Melt the adapter into a copy of its base, and compare what both say."""
    quiet_libraries()
    source = _base(reference, base)
    stored = _stored_precision(source)
    kept: Precision = stored if dtype == "auto" else as_precision(dtype)
    [adapter], _ = meant([reference])
    population, _ = spoken(source, {ONLY: adapter.source}, ON_THE_CPU)
    batch = whole(population.tokenizer, PLAIN, population.model.device)
    with population.speaking([ONLY] * len(batch)):
        wanted = logits(population.model, batch)
    model = melted(population.model)
    largest, _ = differences(logits(model, batch), wanted)
    if largest > CLOSE * max(1.0, float(wanted.abs().max())):
        raise AdapterMismatch(
            f"merged into its base, {card.species}@{card.version} does not say what it says beside it: logits differ "
            f"by up to {largest:.3g}. Weights that the base shares between modules look so; export it as peft"
        )
    with folder_published_whole(target) as aside:
        save_melted(model, source.folder, kept, aside)
        write_text(aside / README, _readme(card, source, kept))
        largest, same = _reloaded(source, aside, batch, wanted)
        if digest_folder(source.folder) != source.digest:
            raise BaseAltered(f"the base in {str(source.folder)!r} was changed while it was read: merge again")
    figures = {"largest_difference": largest, "largest_logit": float(wanted.abs().max()), "same_likeliest": same}
    return Exported("merged", target, [card], figures=figures)


def _reloaded(source: BaseSource, folder: Path, batch: Any, wanted: Any) -> tuple[float, float]:
    """How far what was written is from base and adapter. Raises InputError where it does not load."""
    try:
        written = load_model(BaseSource(source.name, None, folder, ""), ON_THE_CPU)
    except BaseNotFound as error:
        raise InputError(f"the merged model does not load again: {error}") from error
    return differences(logits(written, batch), wanted)


def _base(reference: str, base: str | None) -> BaseSource:
    adapters, bases = meant([reference])
    if bases:
        raise InputError(f"{reference!r} is a base, not an adapter")
    return base_of(adapters, [], base)


def _stored_precision(source: BaseSource) -> Precision:
    """Of the base's weights on disk. Raises InputError where they are quantized."""
    config = read_json(source.folder / "config.json")
    if how := config.get("quantization_config"):
        method = how.get("quant_method", "unknown") if isinstance(how, dict) else "unknown"
        raise InputError(
            f"{source.name!r} is quantized ({method}): a change as small as an adapter's would be rounded away in its "
            "weights. Merge into the model that it was quantized from, named with --base, and quantize the result"
        )
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    return as_precision(stored if stored in ("float32", "bfloat16", "float16") else "float32")


def _free(target: Path) -> Path:
    """The folder as an absolute path. Raises InputError where something is in it."""
    target = expanded(target).absolute()
    if os.path.lexists(target) and (target.is_symlink() or not target.is_dir() or any(target.iterdir())):
        kind = "holds files already" if target.is_dir() and not target.is_symlink() else "is no folder"
        raise InputError(f"--to {str(target)!r} {kind}; name a folder that is empty or missing")
    return target


def _readme(card: Card, source: BaseSource, dtype: str) -> str:
    """The model card of a merged model."""
    import json

    name = f"{card.species}@{card.version}"
    return "\n".join(
        [
            "---",
            f"base_model: {json.dumps(source.name)}",
            "base_model_relation: finetune",
            f"license: {json.dumps(card.licence)}",
            "library_name: transformers",
            "---",
            "",
            f"# {name}, merged",
            "",
            f"The weights of `{source.name}` (digest `{source.digest}`) with those of the adapter {name} (digest",
            f"`{card.digest}`) added, in {dtype}. Made by speciate; not measured in this form.",
            "",
        ]
    )
