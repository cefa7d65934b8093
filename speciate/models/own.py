"""Which tensors of a model in memory are the base's own, whatever adapters are on it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def base_tensors(model: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """The base's own tensors under the names that they have without an adapter."""
    tensors: dict[str, torch.Tensor] = {}
    layers = _adapter_layers(model)
    # The state has the scales of 4-bit weights, which are no parameters; the buffers that are never saved it has not.
    for name, tensor in [*model.state_dict().items(), *model.named_buffers()]:
        if _of_an_adapter(name, layers) or ".modules_to_save." in name:
            continue
        plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", ".")
        tensors[plain] = tensor
    return tensors


def _adapter_layers(model: "torch.nn.Module") -> set[str]:
    """Names of the modules that an adapter has put in the place of the base's own, each with that as its base_layer."""
    if not hasattr(model, "peft_config"):
        return set()
    from peft.tuners.tuners_utils import BaseTunerLayer

    # What is not below the base itself is shared by all layers of an adapter, as the random matrices of VeRA are.
    return {"base_model"} | {name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def _of_an_adapter(name: str, layers: set[str]) -> bool:
    parts = name.split(".")
    kept = {"base_model": "model"}
    return any(
        above in layers and parts[depth] != kept.get(above, "base_layer")
        for depth in range(1, len(parts))
        for above in [".".join(parts[:depth])]
    )
