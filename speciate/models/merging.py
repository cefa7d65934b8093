"""An adapter melted into a copy of its base, in memory and then in a new folder. The base's own folder is only read."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from speciate.errors import AdapterMismatch
from speciate.models.base import NOT_THE_MODEL, Precision

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

WRITTEN = (".safetensors", ".index.json")
"""Ends of the names of files that a saved model has of its own, beside its configuration."""


def melted(model: "PeftModel") -> "PreTrainedModel":
    """The base of `model` with the change of its adapter in its weights; `model` is of no use afterwards.

    Raises AdapterMismatch where that would put numbers into them that are none.
    """
    try:
        return cast("PreTrainedModel", cast(Any, model).merge_and_unload(safe_merge=True))
    except (ValueError, RuntimeError, NotImplementedError) as error:
        why = " ".join(str(error).split())
        raise AdapterMismatch(f"the adapter cannot be merged into its base: {why:.300}") from error


def save_melted(model: "PreTrainedModel", base: Path, dtype: Precision, folder: Path) -> None:
    """Write weights in `dtype`, and beside them what the base has: tokenizer, chat template, settings of generation."""
    import torch
    from transformers import GenerationConfig

    cast(torch.nn.Module, model).to(getattr(torch, dtype))
    # The base's own is copied below: the library refuses to write one that it would warn of.
    model.generation_config = GenerationConfig()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    for path in base.iterdir():
        copied = path.suffix not in NOT_THE_MODEL and path.name[0] != "." and not path.name.endswith(WRITTEN)
        if copied and path.is_file() and path.name not in ("config.json", "card.json"):
            shutil.copyfile(path, folder / path.name)


def differences(first: "Any", second: "Any") -> tuple[float, float]:
    """Of two tensors of logits the largest difference, and the share of places with the same likeliest token."""
    same = first.argmax(dim=-1) == second.argmax(dim=-1)
    return float((first - second).abs().max()), float(same.float().mean())
