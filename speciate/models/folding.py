"""LoRAs whose update is made of A, B and constants while they train, and a plain LoRA of the same update afterwards.

A method that begins from a part of the base's weights takes that part out of them; here the base is never written to,
and the part is subtracted in the adapter. The constants follow from the base, the rows and the seed, so a checkpoint
holds A and B alone, and a run that goes on after a stop makes the constants again.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speciate.errors import AdapterUnchanged

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

ADAPTER = "default"


@dataclass(frozen=True, slots=True)
class Held:
    """s·(B·A - B₀·A₀): what the adapter began from is held against it, so that it begins by changing nothing."""

    down: "torch.Tensor"
    up: "torch.Tensor"

    def forward(self, layer: Any, active_adapter: str, x: Any, result: Any, **_: Any) -> Any:
        """What the module gives with the adapter on, `result` being what the base gives."""
        from torch.nn.functional import linear

        a, b = layer.lora_A[active_adapter], layer.lora_B[active_adapter]
        moved = b(a(layer.lora_dropout[active_adapter](x)))
        return result + (moved - linear(linear(x, self.down), self.up)) * layer.scaling[active_adapter]

    def folded(self, down: "torch.Tensor", up: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """A and B of the same update: the rows of A and A₀ one below the other, columns of B and -B₀ side by side."""
        import torch

        return torch.cat([down, self.down]), torch.cat([up, -self.up], dim=1)


@dataclass(frozen=True, slots=True)
class Projected:
    """s·P_L·B·A·P_R with P_L = I - U_k·U_kᵀ and P_R = I - V_k·V_kᵀ: the update leaves the k largest singular directions
    of the weight as they are, on both sides (OPLoRA: Xiong and Xie 2025, arXiv 2510.13003).
    """

    inputs: "torch.Tensor"
    """V_kᵀ, a row for each direction."""
    outputs: "torch.Tensor"
    """U_k, a column for each direction."""

    def forward(self, layer: Any, active_adapter: str, x: Any, result: Any, **_: Any) -> Any:
        """What the module gives with the adapter on, `result` being what the base gives."""
        from torch.nn.functional import linear

        a, b = layer.lora_A[active_adapter], layer.lora_B[active_adapter]
        x = layer.lora_dropout[active_adapter](x)
        moved = b(a(x - linear(linear(x, self.inputs), self.inputs.T)))
        away = linear(linear(moved, self.outputs.T), self.outputs)
        return result + (moved - away) * layer.scaling[active_adapter]

    def folded(self, down: "torch.Tensor", up: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """A and B of the same update: A·P_R and P_L·B."""
        return down - down @ self.inputs.T @ self.inputs, up - self.outputs @ (self.outputs.T @ up)


def settle(model: "PeftModel") -> None:
    """Make the trained adapter the plain LoRA of the same update, to be scaled, measured and saved as it then is.

    Nothing happens to one that is plain already, or of another kind. Raises AdapterUnchanged where training moved
    nothing.
    """
    layers = lora_layers(model)
    config: Any = model.peft_config[ADAPTER]
    if config.peft_type != "LORA" or config.use_dora or not any(layer.lora_variant for layer in layers.values()):
        return
    if all(_unmoved(layer) for layer in layers.values()):
        raise AdapterUnchanged("the adapter is what it was before training: nothing was learned")
    halves = {name: _plain(layer) for name, layer in layers.items()}
    rank = next(iter(halves.values()))[0].shape[0]
    config.lora_alpha = next(iter(layers.values())).scaling[ADAPTER] * rank
    config.r, config.use_rslora, config.init_lora_weights = rank, False, True
    for name, layer in layers.items():
        layer.lora_variant.pop(ADAPTER, None)
        layer.update_layer(ADAPTER, rank, config.lora_alpha, config=config)
        # In their own precision, whatever the base's is.
        layer.lora_A[ADAPTER].weight.data, layer.lora_B[ADAPTER].weight.data = halves[name]
    model.train(model.training)


def lora_layers(model: "PeftModel") -> dict[str, Any]:
    """The layers of an adapter that is a LoRA, by name."""
    from peft.tuners.lora.layer import LoraLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def _unmoved(layer: Any) -> bool:
    held = layer.lora_variant.get(ADAPTER)
    return (
        isinstance(held, Held)
        and held.down.equal(layer.lora_A[ADAPTER].weight)
        and held.up.equal(layer.lora_B[ADAPTER].weight)
    )


def _plain(layer: Any) -> "tuple[torch.Tensor, torch.Tensor]":
    down, up = layer.lora_A[ADAPTER].weight.detach(), layer.lora_B[ADAPTER].weight.detach()
    variant = layer.lora_variant.get(ADAPTER)
    return variant.folded(down, up) if isinstance(variant, Held | Projected) else (down, up)
