"""Changing the weights of an adapter in memory: giving it others, and making a strength part of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from speciate.models.adapter import trainable

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


def put(model: "PeftModel", tensors: "Mapping[str, torch.Tensor]") -> None:
    """Give the adapter these weights, by name."""
    import torch

    with torch.no_grad():
        for name, parameter in trainable(model).items():
            parameter.copy_(tensors[name])


def scale(model: "PeftModel", strength: float) -> None:
    """Make the strength part of the adapter: every B is multiplied by it."""
    import torch

    if strength == 1:
        return
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            if ".lora_B." in name:
                parameter.mul_(strength)
