"""What the sections of both recipes are made of: strict frozen mappings, and numbers with bounds.

Nothing is coerced and nothing is ignored: an unknown key, a number in quotes or a NaN is an error.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_ITEMS = 10_000_000

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
# YAML gives lists; a strict tuple would refuse them.
Names = Annotated[tuple[Name, ...], Field(strict=False)]
Count = Annotated[int, Field(ge=1, le=MAX_ITEMS)]
CountFromZero = Annotated[int, Field(ge=0, le=MAX_ITEMS)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """One mapping of a recipe."""

    # A rule between two fields must see the later one even where it is left at its default.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )
