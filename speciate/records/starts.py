"""What a run began with, as `start.json` in its folder says it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from speciate.records.base import Document, Record


class BaseNamed(Record):
    """A base by its name and its bytes."""

    name: str
    revision: str | None
    digest: str


class RecipeNamed(BaseModel):
    """A resolved recipe, of which only this is looked at; the rest is as that version of speciate wrote it."""

    species: str
    seed: int

    model_config = ConfigDict(extra="allow", frozen=True)


class RunStart(Document):
    """`start.json` of a training run."""

    schema_: Annotated[Literal["run-start/1"], Field(alias="schema")] = "run-start/1"
    species: str
    created: str
    """UTC, ISO 8601."""
    recipe: RecipeNamed
    base: BaseNamed
    versions: dict[str, Any]

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
