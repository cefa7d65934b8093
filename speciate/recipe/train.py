"""How an adapter is trained: one stage after the other, each with its own rate, rows and length."""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from speciate.recipe.fields import BelowOne, Count, Fraction, Positive, Section
from speciate.recipe.lora import Lora
from speciate.recipe.problems import shown

OF_THE_FIRST = ("lora", "max_length", "precision")
"""Keys that stand in the first stage only, since all stages train one adapter on the same rows."""


class Train(Section):
    """One stage of training."""

    method: Literal["sft"] = "sft"
    """sft: supervised, with the loss on the answers only."""
    rows: Literal["all", "niche", "general"] = "all"
    """Rows that it reads: all, those of the niche alone, or those of guard.replay alone."""
    epochs: Annotated[float, Field(gt=0, le=10_000)] = 8.0
    """Passes over the training rows; a fraction is allowed."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Rows that go through the model at a time."""
    gradient_accumulation: Annotated[int, Field(ge=1, le=65_536)] = 1
    """Batches that make one step."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw, or muon: steps of equal size in every direction of each matrix, which suits runs of some hundred steps."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Highest learning rate of the schedule."""
    warmup: BelowOne = 0.05
    """Fraction of the steps in which the learning rate rises from zero."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    weight_decay: Fraction = 0.0
    """Decoupled weight decay."""
    max_grad_norm: Positive = 1.0
    """A gradient longer than this is scaled down to it."""
    max_length: Annotated[int, Field(ge=8, le=1_048_576)] = 512
    """Tokens of the longest row; a longer one is an error, never cut."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the computation; auto takes bfloat16 where the hardware has it."""
    checkpoint_every: Count = 50
    """Steps between two checkpoints, from which --resume continues."""
    lora: Lora = Field(default_factory=Lora)
    """The adapter."""

    @field_validator("lora")
    @classmethod
    def _suits_the_optimizer(cls, lora: Lora, info: ValidationInfo) -> Lora:
        return fit(lora, quantization="none", optimizer=str(info.data.get("optimizer")))


def fit(lora: Lora, *, quantization: str, optimizer: str) -> Lora:
    """The adapter. Raises ValueError where it cannot be trained so."""
    if reason := lora.unfit(quantization=quantization, optimizer=optimizer):
        raise ValueError(reason)
    return lora


def _listed(given: Any) -> Any:
    """Stages as a list of sections, each with what it takes over from the one before it."""
    if isinstance(given, tuple):
        return cast("tuple[Train, ...]", given)
    if not isinstance(given, list):
        return [given]
    stages: list[Any] = []
    for number, stage in enumerate(cast("list[Any]", given), 1):
        if stages and isinstance(stage, dict) and isinstance(stages[-1], dict):
            section = cast("dict[str, Any]", stage)
            if wrong := [key for key in OF_THE_FIRST if key in section]:
                raise ValueError(f"stage {number} has {shown(wrong[0])}, which stands in the first stage only")
            stage = {**cast("dict[str, Any]", stages[-1]), **section}
        stages.append(stage)
    return stages


Stages = Annotated[
    tuple[Train, ...],
    Field(strict=False, min_length=1, max_length=20),
    BeforeValidator(_listed, json_schema_input_type=Train | list[Train]),
]
