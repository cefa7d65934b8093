"""The adapter of a species: its kind, size, place and beginning."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from speciate.recipe.fields import BelowOne, Names, Positive, Section

Targets = Annotated[
    Annotated[Literal["all-linear"], Tag("word")] | Annotated[Names, Field(min_length=1), Tag("list")],
    Discriminator(
        lambda value: "word" if value == "all-linear" else "list" if isinstance(value, list | tuple) else None,
        custom_error_type="targets",
        custom_error_message="must be all-linear or a list of module names",
    ),
]


class Lora(Section):
    """The adapter."""

    r: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank."""
    alpha: Positive = 32
    """Scale: the update is multiplied by alpha/r, or by alpha/sqrt(r) with rslora."""
    dropout: BelowOne = 0.0
    """Fraction of the adapter's inputs dropped in training."""
    targets: Targets = "all-linear"
    """Modules to adapt: all-linear, or a list of module names, each of which must exist in the base."""
    rslora: bool = False
    """Scale by alpha/sqrt(r), which keeps high ranks learning."""
