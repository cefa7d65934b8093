"""A base without its weights: what its configuration alone tells of its size, and of an adapter on it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from speciate.errors import SpeciateError
from speciate.models.attaching import attach
from speciate.models.base import BaseSource
from speciate.models.shape import LoraShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the memory and the time of a training follow from."""

    parameters: int
    in_blocks: int
    """Of these, in the matrices of the layers: what 4 bits can hold."""
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    trainable: int | None
    """Parameters of the adapter; None where the base's weights are needed to tell."""
    adapted: int
    """Modules that it is put on."""


def sizes(source: BaseSource, shape: LoraShape) -> Sizes:
    """Found on torch's `meta` device, where tensors have shapes and nothing else."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(source.folder, trust_remote_code=False, local_files_only=True)
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        text = config.get_text_config(decoder=True)
        heads = int(text.num_attention_heads)
        counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
        matrices = {name for name, parameter in model.named_parameters() if parameter.ndim == 2}
        trainable, adapted = _adapter(model, shape, source)
    return Sizes(
        parameters=sum(counts.values()),
        in_blocks=sum(counts[name] for name in matrices if ".layers." in name),
        layers=int(text.num_hidden_layers),
        hidden=int(text.hidden_size),
        intermediate=int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size),
        heads=heads,
        kv_heads=int(getattr(text, "num_key_value_heads", None) or heads),
        head_width=int(getattr(text, "head_dim", None) or text.hidden_size // heads),
        vocabulary=int(text.vocab_size),
        trainable=trainable,
        adapted=adapted,
    )


def _adapter(model: "PreTrainedModel", shape: LoraShape, source: BaseSource) -> tuple[int | None, int]:
    """Trainable parameters, and the modules that have them. What an adapter begins from changes no size."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    model.requires_grad_(requires_grad=False)
    # Which entries shira changes is drawn, and nothing can be drawn here; they are as many as a lora has.
    alike = replace(shape, init="default", kind="lora" if shape.kind == "shira" else shape.kind)
    try:
        attached: Any = attach(model, alike, source, 0)
    except (SpeciateError, NotImplementedError, RuntimeError):
        return None, 0
    number = sum(parameter.numel() for parameter in attached.parameters() if parameter.requires_grad)
    return number, sum(isinstance(module, BaseTunerLayer) for module in attached.modules())
