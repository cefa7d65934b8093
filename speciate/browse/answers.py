"""What the JSON API answers, beside the records that it shares with the command line."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from speciate.records import AdapterCard, Comparison, Listed, RecipeDifference, UnmeasuredCard
from speciate.records.base import Document, Record
from speciate.records.cards import Kinship

_ALIASED = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Entries(Document):
    """A part of the list."""

    schema_: Annotated[Literal["registry/2"], Field(alias="schema")] = "registry/2"
    entries: list[Listed]
    total: int
    problems: list[str]
    """Entries whose cards cannot be read, a line each."""

    model_config = _ALIASED


class Relative(Record):
    """A parent or a child of an entry."""

    kind: Kinship
    digest: str
    name: str
    what: Literal["base", "entry", "absent"]
    """`absent` is an adapter that this registry does not have."""


class Entry(Document):
    """All that is known of one entry."""

    schema_: Annotated[Literal["registry-entry/1"], Field(alias="schema")] = "registry-entry/1"
    card: Annotated[AdapterCard | UnmeasuredCard, Field(discriminator="schema_")]
    aliases: list[str]
    parents: list[Relative]
    children: list[Relative]
    children_total: int
    signed: str
    """By whom, in words."""

    model_config = _ALIASED


class Points(Document):
    """Every measured entry on the plane of gain and forgetting: columns of one length, figures in points."""

    schema_: Annotated[Literal["registry-points/1"], Field(alias="schema")] = "registry-points/1"
    species: list[str]
    """Distinct; `of` has the place in this list for each entry."""
    of: list[int]
    version: list[int]
    name: list[str]
    """The beginning of each digest."""
    verdict: list[Literal["passed", "failed", "undecided"]]
    gain: list[float]
    gain_low: list[float]
    """Lower ends of the 95% intervals."""
    forgetting: list[float]
    forgetting_upper: list[float]
    """Upper one-sided 95% bounds."""
    front: list[int]
    """Places of the entries than which no other gains more and forgets less, the largest gain first."""
    without: int
    """Entries that match and have no figures."""

    model_config = _ALIASED


class SideBySide(Document):
    """Two entries: the comparison of their runs where both lie on this machine, else what their cards say."""

    schema_: Annotated[Literal["registry-compare/1"], Field(alias="schema")] = "registry-compare/1"
    a: Listed
    b: Listed
    recipe: list[RecipeDifference]
    comparison: Comparison | None
    why: str
    """Why there is no comparison of the runs."""

    model_config = _ALIASED


class Fault(Record):
    """What was wrong with a request."""

    kind: str
    message: str
    problems: list[str]


class Refusal(Document):
    """The answer to what cannot be answered."""

    schema_: Annotated[Literal["error/1"], Field(alias="schema")] = "error/1"
    error: Fault

    model_config = _ALIASED
