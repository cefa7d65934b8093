"""A fresh adapter on a base, begun as the recipe says. The base's own weights are never changed."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from speciate.errors import PreflightError
from speciate.models import beginnings
from speciate.models.adapter import switched_off
from speciate.models.base import BaseSource
from speciate.models.folding import ADAPTER, Held, Projected, lora_layers
from speciate.models.looking import Row, covariances, gradients, some
from speciate.models.shape import OF_PEFT, LoraShape, configuration
from speciate.models.sparse import always_checked
from speciate.models.targets import linear_modules, resolved
from speciate.recipe.lora import FROM_GENERAL_ROWS, FROM_NICHE_ROWS

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

PRESERVED = 128
"""Singular directions that OPLoRA leaves alone where no number is given; the larger of its authors' two."""


def attach(
    model: "PreTrainedModel",
    shape: LoraShape,
    source: BaseSource,
    seed: int,
    niche: Sequence[Row] = (),
    general: Sequence[Row] = (),
) -> "PeftModel":
    """`model` with a new trainable adapter; all that is random in it follows from `seed`. Some beginnings look at rows
    of the niche or of general skills.

    Raises NothingTrainable where a named module is not in the base, PreflightError where the adapter does not fit it.
    """
    import torch
    from peft import get_peft_model

    config = configuration(shape, _targets(model, shape), source.revision, seed)
    torch.manual_seed(seed)
    if shape.kind == "shira":
        always_checked()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            adapted = cast("PeftModel", get_peft_model(model, config))
        except (ValueError, TypeError, RuntimeError) as error:
            raise _unfit(shape, str(error)) from error
    # PEFT takes another block size where the one that was asked for does not fit, and says so in a warning.
    if other := next((text for text in (str(one.message) for one in told) if text.startswith("Invalid `oft_")), None):
        raise _unfit(shape, other)
    if shape.init not in ("default", *OF_PEFT):
        _begin(adapted, shape, seed, niche, general)
    if shape.freeze_a or shape.init == "contrast":
        for layer in lora_layers(adapted).values():
            layer.lora_A[ADAPTER].weight.requires_grad_(requires_grad=False)
    return adapted


def _targets(model: "PreTrainedModel", shape: LoraShape) -> str | list[str]:
    """The modules to adapt. Raises PreflightError where a copy of them would lose small steps by rounding."""
    import torch

    found = resolved(model, shape.targets)
    if shape.kind != "full":
        return found
    if next(model.parameters()).dtype != torch.float32:
        raise PreflightError(
            "train.lora.kind full trains copies of the base's weights, and in 16 bits small steps are lost: set "
            "base.dtype=float32"
        )
    # PEFT finds all linear modules for the kinds that are made of matrices only.
    output = model.get_output_embeddings()
    every = [name for name, module in linear_modules(model).items() if module is not output]
    return every if isinstance(found, str) else found


def _unfit(shape: LoraShape, why: str) -> PreflightError:
    return PreflightError(f"train.lora (kind: {shape.kind}, init: {shape.init}) does not fit the base: {why:.300}")


def _begin(model: "PeftModel", shape: LoraShape, seed: int, niche: Sequence[Row], general: Sequence[Row]) -> None:
    """Set A and B of each module, and what is held against them."""
    import torch

    layers = lora_layers(model)
    modules = {name: layer.get_base_layer() for name, layer in layers.items()}
    of_niche = of_general = dict[str, torch.Tensor]()
    if shape.init in FROM_NICHE_ROWS:
        of_niche = _seen(model, shape, "the niche", some(niche, shape.init_rows, seed), modules)
    if shape.init in FROM_GENERAL_ROWS:
        # They were drawn to be looked at here, all of them.
        of_general = _seen(model, shape, "general skills", general, modules)
    with torch.no_grad():
        for name, layer in layers.items():
            weight = _weight(layer)
            _check_room(shape, name, weight)
            scale = float(layer.scaling[ADAPTER])
            a, b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
            if shape.init == "oplora":
                count = shape.preserved or min(PRESERVED, min(weight.shape) // 2)
                inputs, outputs = (_as(half, a) for half in beginnings.largest(weight, count))
                layer.lora_variant[ADAPTER] = Projected(inputs, outputs)
                continue
            if shape.init == "contrast":
                a.copy_(beginnings.contrast(of_niche[name], of_general[name], shape.r))
                continue
            down, up = _halves(shape, weight, (of_niche | of_general).get(name), scale)
            a.copy_(down / scale**0.5)
            b.copy_(up / scale**0.5)
            if shape.init != "eva":
                layer.lora_variant[ADAPTER] = Held(a.detach().clone(), b.detach().clone())


def _seen(
    model: "PeftModel", shape: LoraShape, of: str, rows: Sequence[Row], modules: dict[str, Any]
) -> "dict[str, torch.Tensor]":
    """What the beginning needs to know of each module from the rows."""
    import torch

    if not rows:
        raise PreflightError(f"train.lora.init {shape.init} looks at rows, and there are none of {of}")
    with switched_off(model):
        look = gradients if shape.init == "lora-ga" else covariances
        found = look(model, modules, rows)
    for name in modules:
        if name not in found or not torch.isfinite(found[name]).all():
            raise PreflightError(
                f"train.lora.init {shape.init}: what the base does in {name!r} is not finite, or nothing"
            )
    return found


def _halves(
    shape: LoraShape, weight: "torch.Tensor", seen: "torch.Tensor | None", scale: float
) -> "tuple[torch.Tensor, torch.Tensor]":
    match shape.init, seen:
        case "pissa", _:
            return beginnings.pissa(weight, shape.r)
        case "milora", _:
            return beginnings.milora(weight, shape.r)
        case "olora", _:
            return beginnings.olora(weight, shape.r)
        case "corda-kpm" | "corda-ipm", _ if seen is not None:
            return beginnings.corda(weight, seen, shape.r, smallest=shape.init == "corda-kpm")
        case "lora-null", _ if seen is not None:
            return beginnings.lora_null(weight, seen, shape.r)
        case "eva", _ if seen is not None:
            return beginnings.eva(weight, seen, shape.r)
        case "lora-ga", _ if seen is not None:
            return beginnings.lora_ga(seen, shape.r, scale)
        case _:
            raise ValueError(f"there is no beginning {shape.init!r}")


def _weight(layer: Any) -> "torch.Tensor":
    """The base's weight (outputs, inputs) in float64, of 4 bits too."""
    from peft.utils.integrations import dequantize_module_weight
    from transformers.pytorch_utils import Conv1D

    base = layer.get_base_layer()
    weight = dequantize_module_weight(base).detach()
    weight = (weight.cpu() if weight.device.type == "mps" else weight).double()
    return weight.T if isinstance(base, Conv1D) else weight


def _check_room(shape: LoraShape, name: str, weight: "torch.Tensor") -> None:
    """Raises PreflightError where the weight has fewer directions than the beginning takes."""
    if shape.init == "oplora":
        key, needed, room = "preserved", shape.preserved or 0, min(weight.shape) - 1
    else:
        key, needed, room = "r", shape.r * (2 if shape.init == "lora-ga" else 1), min(weight.shape)
    if needed > room:
        most = room // 2 if shape.init == "lora-ga" else room
        raise PreflightError(
            f"train.lora.{key}: init {shape.init} takes at most {most} with {name!r}, whose weight is "
            f"{weight.shape[0]} x {weight.shape[1]}"
        )


def _as(half: "torch.Tensor", like: "torch.Tensor") -> "torch.Tensor":
    return half.to(like).contiguous()
