"""Attach a fresh LoRA to a base, save it, and take its fingerprint. The base's own weights are never changed."""

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from speciate.errors import NothingTrainable, PreflightError
from speciate.models.base import BaseSource

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class LoraShape:
    """Size and place of a LoRA (Hu et al. 2021)."""

    r: int
    alpha: float
    dropout: float
    targets: str | Sequence[str]
    """`all-linear`, or names of modules."""
    rslora: bool


def attach(model: "PreTrainedModel", shape: LoraShape, source: BaseSource, seed: int) -> "PeftModel":
    """`model` with a new trainable adapter, whose random half is drawn from `seed`.

    Raises NothingTrainable where a named module is not in the base, PreflightError where it is its output layer.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    if not isinstance(shape.targets, str):
        check_targets(model, shape.targets)
    config = LoraConfig(
        r=shape.r,
        lora_alpha=cast(int, shape.alpha),
        lora_dropout=shape.dropout,
        target_modules=shape.targets if isinstance(shape.targets, str) else list(shape.targets),
        use_rslora=shape.rslora,
        task_type="CAUSAL_LM",
        revision=source.revision,
    )
    torch.manual_seed(seed)
    return cast("PeftModel", get_peft_model(model, config))


def check_targets(model: "PreTrainedModel", targets: Sequence[str]) -> None:
    """Raises NothingTrainable for targets that match no linear module, which PEFT ignores where another matches, and
    PreflightError for the output layer.
    """
    from torch.nn import Linear

    output = model.get_output_embeddings()
    modules = {name: module for name, module in model.named_modules() if isinstance(module, Linear)}

    def matched(target: str) -> list[Linear]:
        return [module for name, module in modules.items() if name == target or name.endswith(f".{target}")]

    known = sorted({name.rsplit(".", 1)[-1] for name, module in modules.items() if module is not output})
    wrong = [target for target in targets if not matched(target)]
    if wrong:
        near = [match for target in wrong for match in difflib.get_close_matches(target, known, 1)]
        hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
        raise NothingTrainable(
            f"train.lora.targets: the base has no linear module {', '.join(map(repr, wrong))}{hint} "
            f"(it has {', '.join(known)})"
        )
    last = [target for target in targets if any(module is output for module in matched(target))]
    if last:
        raise PreflightError(
            f"train.lora.targets: {', '.join(map(repr, last))} is the base's output layer, which cannot be adapted "
            f"(the trainer's loss never builds its logits); choose from {', '.join(known)}"
        )


def trainable(model: "PeftModel") -> dict[str, Any]:
    """The parameters that training may change, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def weights_digest(model: "PeftModel") -> str:
    """SHA-256 of the trainable parameters in memory."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(trainable(model).items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return "sha256:" + total.hexdigest()


def save(model: "PeftModel", source: BaseSource, folder: Path) -> None:
    """Write weights and configuration to `folder`; the configuration names the base as the recipe does."""
    config = model.peft_config["default"]
    loaded_from = config.base_model_name_or_path
    # PEFT has the folder that the base was loaded from: right for checkpoints, where it compares vocabularies by that
    # name and would ask the hub for a name that is no path; but a path of this machine must not travel.
    config.base_model_name_or_path = source.name
    model.save_pretrained(str(folder), save_embedding_layers=False)
    config.base_model_name_or_path = loaded_from
    (folder / "README.md").unlink(missing_ok=True)
