"""What the sections of both recipes are made of: strict frozen mappings, and numbers with bounds.

Nothing is coerced and nothing is ignored: an unknown key, a number in quotes or a NaN is an error.
"""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from speciate.recipe.problems import shown

MAX_ITEMS = 10_000_000


def _shows(text: str) -> str:
    """Text of a recipe is shown on terminals and pages, so it holds nothing that steers them."""
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text.replace("\n", "")):
        raise ValueError(f"has a control character: {shown(text)}")
    return text


def _has_one_line(text: str) -> str:
    if "\n" in text:
        raise ValueError(f"must be one line, not {shown(text)}")
    return text


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_shows)]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_shows), AfterValidator(_has_one_line)
]
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
