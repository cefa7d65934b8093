"""Adapters made of adapters: another strength, and the weighted sum of several. Tensors alone; no base is loaded.

A LoRA changes a weight by s·B·A. Its strength is a factor of B. A sum of such changes is one again, with the rows of
the A one below the other and the columns of the B side by side: exact, at the price of a rank that is the sum of ranks.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate.errors import AdapterMismatch, InputError
from speciate.models.adapter import CONFIG, WEIGHTS, canonical_config
from speciate.models.kinds import unfit, unlike
from speciate.storage import read_json, write_json

if TYPE_CHECKING:
    import torch

HALF = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?:embedding_)?(?P<half>[AB])(?:\.weight)?")
NOT_LINEAR = {
    "use_dora": "is a DoRA, which sets the lengths of the base's columns too, and those are not in proportion to B",
    "modules_to_save": "has whole modules of its own in the place of the base's, which have no strength",
    "lora_bias": "has biases of its own beside its matrices",
    "use_qalora": "is a QA-LoRA, whose matrices belong to groups of quantized weights",
    "use_bdlora": "is a BD-LoRA, whose matrices are made of blocks",
    "arrow_config": "chooses among several adapters for each token",
    "monteclora_config": "is drawn at random anew",
    "velora_config": "is a VeLoRA",
    "kasa_config": "is a KaSA, which changes the base's weights by itself",
}
OF_THE_BASE = ("fan_in_fan_out", "task_type")
OF_THE_MODULES = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")


@dataclass(frozen=True, slots=True)
class Part:
    """An adapter in a folder, and its weight in a sum."""

    name: str
    """As a person calls it."""
    folder: Path
    weight: float = 1.0


def rescaled(part: Part, folder: Path) -> dict[str, Any]:
    """Write the adapter at the strength `part.weight` to `folder`, and give its configuration.

    Raises AdapterMismatch where its change of the base is not in proportion to a matrix of it.
    """
    config, tensors = _read(part, "rescaled")
    scaled = {
        name: tensor if _half(name)[1] == "A" else tensor.float() * part.weight for name, tensor in tensors.items()
    }
    _write(scaled, config, folder)
    return config


def merged(parts: Sequence[Part], folder: Path) -> dict[str, Any]:
    """Write the weighted sum of the adapters to `folder`, and give its configuration.

    Raises AdapterMismatch where they are of kinds that have no sum, or do not fit each other.
    """
    import torch

    read = [_read(part, "merged", "target_parameters") for part in parts]
    configs = [config for config, _ in read]
    for key in OF_THE_BASE:
        if len({str(config.get(key) or None) for config in configs}) > 1:
            named = ", ".join(f"{part.name} {config.get(key)!r}" for part, config in zip(parts, configs, strict=True))
            raise AdapterMismatch(f"the adapters are not of one kind: {key} differs ({named})")
    halves: dict[str, dict[str, list[torch.Tensor]]] = {}
    names: dict[tuple[str, str], str] = {}
    for part, (config, tensors) in zip(parts, read, strict=True):
        for module, pair in _pairs(part, tensors, names).items():
            scale = part.weight * _scaling(config, module, pair["A"].shape[0])
            kept = halves.setdefault(module, {"A": [], "B": []})
            kept["A"].append(pair["A"].float())
            kept["B"].append(pair["B"].float() * scale)
    summed: dict[str, torch.Tensor] = {}
    ranks: dict[str, int] = {}
    for module, pair in halves.items():
        try:
            down, up = torch.cat(pair["A"], dim=0), torch.cat(pair["B"], dim=1)
        except RuntimeError as error:
            raise AdapterMismatch(f"the adapters do not fit each other in {module!r}: {error}") from error
        ranks[module] = down.shape[0]
        summed |= {names[module, "A"]: down, names[module, "B"]: up}
    config = configs[0] | _shape(ranks) | _modules(configs, [set(_modules_of(tensors)) for _, tensors in read])
    _write(summed, config, folder)
    return config


def at_one_alpha(part: Part, folder: Path) -> None:
    """Write the adapter, as it is, so that its scale in each module is the one alpha over the module's rank: programs
    that know no rsLoRA and no alphas by module take it so.

    Raises AdapterMismatch where its change of the base is not in proportion to a matrix of it.
    """
    config, tensors = _read(part, "converted")
    alpha = float(config.get("lora_alpha") or 8)
    ranks = {
        module: tensor.shape[0] for name, tensor in tensors.items() for module, half in [_half(name)] if half == "A"
    }
    scaled: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        module, half = _half(name)
        rank = ranks.get(module, 1)
        scaled[name] = tensor if half == "A" else tensor.float() * (_scaling(config, module, rank) * rank / alpha)
    _write(scaled, config | {"lora_alpha": alpha, "use_rslora": False, "alpha_pattern": {}}, folder)


def _read(part: Part, doing: str, *also: str) -> "tuple[dict[str, Any], dict[str, torch.Tensor]]":
    """Configuration and tensors, where the change of the base is linear in B."""
    from safetensors.torch import load_file

    config: dict[str, Any] = read_json(part.folder / CONFIG)
    reasons = {**NOT_LINEAR, **dict.fromkeys(also, "has matrices for parameters that are no linear modules (experts)")}
    special = next((f"it {what}" for key, what in reasons.items() if config.get(key)), "")
    reason = unfit(config) or unlike(config) or special
    if reason:
        raise AdapterMismatch(f"{part.name} cannot be {doing}: {reason}")
    tensors = load_file(part.folder / WEIGHTS)
    if other := next((name for name in tensors if not HALF.fullmatch(name)), None):
        raise AdapterMismatch(f"{part.name} cannot be {doing}: its tensor {other!r} is neither an A nor a B of a LoRA")
    return config, tensors


def _half(name: str) -> tuple[str, str]:
    """The module that a tensor belongs to, and whether it is the A or the B."""
    found = HALF.fullmatch(name)
    assert found
    return found["module"], found["half"]


def _modules_of(names: Mapping[str, Any]) -> list[str]:
    return [_half(name)[0] for name in names]


def _pairs(
    part: Part, tensors: "Mapping[str, torch.Tensor]", names: dict[tuple[str, str], str]
) -> "dict[str, dict[str, torch.Tensor]]":
    """A and B of each module; `names` is told what their tensors are called."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        module, half = _half(name)
        names.setdefault((module, half), name)
        found.setdefault(module, {})[half] = tensor
    for module, pair in found.items():
        if pair.keys() != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[1]:
            shapes = {half: tuple(tensor.shape) for half, tensor in sorted(pair.items())}
            raise AdapterMismatch(f"{part.name} is damaged: its A and B in {module!r} are no pair: {shapes}")
    return found


def _scaling(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What PEFT multiplies B·A with."""
    from peft.utils.other import get_pattern_key

    pattern: dict[str, Any] = config.get("alpha_pattern") or {}
    alpha = float(pattern.get(get_pattern_key(list(pattern), module), config.get("lora_alpha", 8)))
    return alpha / (sqrt(rank) if config.get("use_rslora") else rank)


def _shape(ranks: Mapping[str, int]) -> dict[str, Any]:
    """Ranks and alphas under which B·A is multiplied with one."""
    usual = Counter(ranks.values()).most_common(1)[0][0]
    others = {f"^{re.escape(module)}": rank for module, rank in sorted(ranks.items()) if rank != usual}
    return {
        "r": usual,
        "lora_alpha": usual,
        "rank_pattern": others,
        "alpha_pattern": others,
        "use_rslora": False,
        "lora_dropout": 0.0,
        "init_lora_weights": True,
        "inference_mode": True,
    }


def _modules(configs: Sequence[Mapping[str, Any]], found: Sequence[set[str]]) -> dict[str, Any]:
    """Which modules the sum adapts: in the words of the parts where those agree, else each by its whole name."""
    words = [canonical_config({key: config.get(key) for key in OF_THE_MODULES}) for config in configs]
    if all(word == words[0] for word in words) and all(modules == found[0] for modules in found):
        return words[0]
    return {**dict.fromkeys(OF_THE_MODULES), "target_modules": sorted(set[str]().union(*found))}


def _write(tensors: "dict[str, torch.Tensor]", config: dict[str, Any], folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    if wrong := next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None):
        raise InputError(f"the result would hold numbers that are none (NaN or infinite) in {wrong!r}: too strong")
    kept = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / CONFIG, canonical_config(config))
