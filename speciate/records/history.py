"""What a list of runs and evaluations says of each."""

from typing import Literal

from pydantic import Field

from speciate.records.base import Record

State = Literal["passed", "failed", "undecided", "evaluated", "running", "unfinished"]


class Headline(Record):
    """One figure of one model, with its interval."""

    model: str
    figure: Literal["gain", "forgetting", "score"]
    """The first two adapter against base, a positive forgetting being a loss; a score where a base was alone."""
    role: str
    value: float
    ci95: tuple[float, float]
    n: int
    """Items."""


class Event(Record):
    """A run or an evaluation."""

    name: str
    kind: Literal["run", "evaluation"]
    created: str
    """UTC, ISO 8601."""
    state: State
    """A run's verdict; one that is running has its folder locked, an unfinished one was stopped."""
    base: str
    suite: str
    """Of a run, that of what must not be forgotten."""
    folder: str
    figures: list[Headline] = Field(default_factory=list[Headline])
