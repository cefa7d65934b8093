"""Adapters of random weights, made by PEFT on a small base and saved as PEFT saves them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from populations import FLOAT32, TINY

from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.models.base import load_model, locate

PROMPT = (5, 17, 300, 42, 7, 99, 512, 33)
NAME = "data/base/tiny"
"""How the base is called from the root of the repository, where tests run."""


def saved(
    folder: Path, *, seed: int = 0, base: Path = TINY, name: str = NAME, zero: bool = False, **settings: Any
) -> Path:
    """An adapter in a folder; `settings` are of PEFT's LoRA, `zero` leaves it as it is before the first step."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    chosen: dict[str, Any] = {"r": 4, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM", **settings}
    model: Any = get_peft_model(load_model(locate(name, base), FLOAT32), LoraConfig(**chosen))
    if not zero:
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) / 10)
    model.save_pretrained(str(folder), save_embedding_layers=False)
    return configured(folder, base_model_name_or_path=name)


def configured(folder: Path, **changes: Any) -> Path:
    """The adapter with other values in its configuration."""
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def changed(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """The adapter with other tensors."""
    from safetensors.torch import load_file, save_file

    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def logits_with(folder: Path | None, base: Path = TINY) -> Any:
    """What the base says with the adapter of a folder, as PEFT itself loads it; alone, where there is none."""
    import torch
    from peft import PeftModel

    model: Any = load_model(locate("a-base", base), FLOAT32)
    if folder is not None:
        model = PeftModel.from_pretrained(model, str(folder)).eval()
    with torch.inference_mode():
        return model(input_ids=torch.tensor([PROMPT])).logits[0].double()
