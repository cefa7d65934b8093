"""What was sent to another place, or fetched from it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from speciate.records.base import Document, Record


class Moved(Record):
    """One entry, and what became of it."""

    digest: str
    """Its beginning, where the whole was not learnt."""
    what: Literal["sent", "fetched", "there already", "refused"]
    species: str = ""
    version: int = 0
    bytes: int = 0
    """That really went."""
    signed: str = ""
    """`signed by NAME (trusted)` or the like."""
    notes: list[str] = Field(default_factory=list[str])
    """What is worth knowing, such as an alias that is taken."""
    problem: str = ""
    """Why it was refused."""


class Exchange(Document):
    """The answer of `registry push` and `registry pull`."""

    schema_: Annotated[Literal["exchange/1"], Field(alias="schema")] = "exchange/1"
    doing: Literal["push", "pull"]
    place: str
    entries: list[Moved]

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
