"""What is said of a suite before any model answers it."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from speciate.records.base import Document, Record
from speciate.records.figures import Contamination


class SuiteEntry(Record):
    """A suite in a list."""

    suite: str
    version: int
    description: str
    sources: list[str]
    """Each in a few words."""
    path: str


class SourceOutline(Record):
    """What one source of a suite asks, as far as that is known without a model and without the hub."""

    source: str
    role: str
    what: str
    """In a few words."""
    families: dict[str, int | None]
    """Items of each; null where they are counted only when the data set is read."""
    most: int | None = None
    """The most items of each that are taken, where they are not counted."""
    note: str = ""


class SuiteOutline(Document):
    """The answer of `speciate suite show`."""

    schema_: Annotated[Literal["suite/1"], Field(alias="schema")] = "suite/1"
    suite: str
    version: int
    description: str
    path: str
    sampling: dict[str, Any]
    """How answers are drawn, where a source says nothing else."""
    sources: list[SourceOutline]
    items: dict[str, int]
    """Of each role, those that are counted."""
    uncounted: list[str]
    """Families and tasks that are counted only when their data sets are read."""
    texts: int
    """For the loss in nats per token."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class PlannedModel(Record):
    """A model that would be measured."""

    model: str
    """Its name in the evaluation: base, or an adapter's."""
    reference: str
    """As it was asked for."""
    digest: str
    remembered: int
    """Its answers that were given before, and need not be computed."""
    contamination: Contamination | None = None
    """Null where no training rows are at hand."""


class PlannedFamily(Record):
    """A family or a task that would be asked."""

    family: str
    role: str
    items: int
    samples: int = 1
    """Answers to each item."""


class EvalPlan(Document):
    """The answer of `speciate eval --dry-run`."""

    schema_: Annotated[Literal["eval-plan/1"], Field(alias="schema")] = "eval-plan/1"
    suite: str
    suite_version: int
    suite_digest: str
    """Of the suite and all of its items, as the evaluation would record it."""
    suite_path: str
    base: dict[str, Any]
    """`name`, `revision`, `digest`."""
    models: list[PlannedModel]
    """The base first."""
    families: list[PlannedFamily]
    items: dict[str, int]
    """Items of each role."""
    texts: int
    left_out: dict[str, str]
    """Families that would not be asked, and why."""
    answers: int
    """Of all models."""
    remembered: int
    """Of these, those that were given before."""
    device: str
    precision: str
    notes: list[str]

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
