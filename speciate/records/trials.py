"""What was measured on development items while an adapter was made: at steps of its training, at strengths after it."""

from typing import Literal

from pydantic import Field

from speciate.records.base import Record

Choice = Literal["checkpoint", "strength"]
"""What is chosen on development items."""


class Trial(Record):
    """One measurement on development items; no reported figure comes from it."""

    step: int
    strength: float = 1.0
    niche: float | None
    """Mean score on the niche's items; null where there are none."""
    gain: float | None
    """Against the base, on the same items."""
    gain_ci95: tuple[float, float] | None
    forgetting: float | None
    """Mean loss on the general items."""
    forgetting_upper: float | None
    """Upper one-sided 95% bound."""
    niche_items: int
    general_items: int
    passed: bool
    """Whether the forgetting bound of the recipe's gate holds."""


class Chosen(Record):
    """Which of several trials was taken, and why."""

    taken: Trial
    why: str
    trials: list[Trial] = Field(min_length=1)
    without: list[str] = Field(default_factory=list[str])
    """Families of the suite that have no development items."""
