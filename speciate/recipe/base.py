"""The recipe of a small base model: its shape, what it reads and how it is trained."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from speciate.recipe.fields import MAX_ITEMS, BelowOne, Count, Fraction, Name, NotNegative, Section, Seed, Slug


class Architecture(Section):
    """Shape of a small model of the Qwen3 architecture."""

    hidden: Annotated[int, Field(ge=8, le=8192)] = 256
    """Width."""
    layers: Annotated[int, Field(ge=1, le=128)] = 5
    """Blocks."""
    heads: Annotated[int, Field(ge=1, le=128)] = 4
    """Attention heads; hidden / heads must be an even whole number."""
    kv_heads: Annotated[int, Field(ge=1, le=128)] = 4
    """Key and value heads; a divisor of heads."""
    intermediate: Annotated[int, Field(ge=8, le=65_536)] = 704
    """Width of the feed-forward layers."""
    vocabulary: Annotated[int, Field(ge=300, le=262_144)] = 1024
    """Tokens of the tokenizer, special ones included."""
    context: Annotated[int, Field(ge=64, le=131_072)] = 512
    """Longest sequence, in tokens."""

    @field_validator("heads")
    @classmethod
    def _heads_split_the_width(cls, heads: int, info: ValidationInfo) -> int:
        hidden: int | None = info.data.get("hidden")
        if hidden and hidden % (2 * heads):
            raise ValueError(f"must split hidden={hidden} into heads of an even width, which {heads} does not")
        return heads

    @field_validator("kv_heads")
    @classmethod
    def _kv_heads_split_the_heads(cls, kv_heads: int, info: ValidationInfo) -> int:
        heads: int | None = info.data.get("heads")
        if heads and heads % kv_heads:
            raise ValueError(f"must divide heads={heads}, which {kv_heads} does not")
        return kv_heads


class Corpus(Section):
    """What the base reads, as fractions of its tokens; the skills have what the others leave."""

    lean: BelowOne = 0.02
    """Fraction of Lean theorems with proofs."""
    text: BelowOne = 0.08
    """Fraction of plain text."""
    lookback: BelowOne = 0.3
    """Fraction of documents in formats that are invented anew, which only looking back predicts."""
    skills: Annotated[dict[Name, NotNegative], Field(min_length=1)] | None = None
    """Weight of each general skill; null weighs all alike."""

    @field_validator("lookback")
    @classmethod
    def _leaves_room_for_the_skills(cls, lookback: float, info: ValidationInfo) -> float:
        lean, text = info.data.get("lean", 0.0), info.data.get("text", 0.0)
        if (total := lean + text + lookback) >= 1:
            raise ValueError(f"lean={lean:g}, text={text:g} and {lookback:g} make {total:g}; they must stay below 1")
        return lookback

    @field_validator("skills")
    @classmethod
    def _weighs_some_skill(cls, skills: dict[str, float] | None) -> dict[str, float] | None:
        if skills and not any(skills.values()):
            raise ValueError("gives every skill the weight 0")
        return skills


class BaseTrain(Section):
    """How the base is trained."""

    steps: Count = 8000
    """Optimizer steps."""
    batch_tokens: Annotated[int, Field(ge=64, le=MAX_ITEMS)] = 8192
    """Tokens in one step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    """Highest learning rate of the schedule."""
    warmup: BelowOne = 0.02
    """Fraction of the steps in which the learning rate rises from zero."""
    weight_decay: Fraction = 0.1
    """Decoupled weight decay (AdamW)."""
    checkpoint_every: Count = 500
    """Steps between two checkpoints, from which --resume continues."""


class BaseRecipe(Section):
    """How to train a small base from nothing."""

    base: Slug
    """Name of the base."""
    seed: Seed = 0
    """Everything random is drawn from it."""
    architecture: Architecture = Field(default_factory=Architecture)
    """Shape of the model."""
    corpus: Corpus = Field(default_factory=Corpus)
    """What it reads."""
    train: BaseTrain = Field(default_factory=BaseTrain)
    """How it is trained."""
    output: Name
    """Folder that the base is written to."""

    @field_validator("train")
    @classmethod
    def _a_step_holds_a_sequence(cls, train: BaseTrain, info: ValidationInfo) -> BaseTrain:
        architecture: Architecture | None = info.data.get("architecture")
        if architecture and train.batch_tokens < architecture.context:
            raise ValueError(
                f"batch_tokens is {train.batch_tokens}, less than one sequence of {architecture.context} tokens"
            )
        return train
