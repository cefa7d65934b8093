"""`card.json` beside an adapter: what it is, what it descends from, and what it was measured to do, if it was."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from speciate.records.base import Document, Outcome, Record
from speciate.records.documents import Findings

Kinship = Literal["trained-from", "continued", "distilled", "merged", "rescaled"]
"""How an adapter came from its parent: grown on it, trained further, taught by it, one of several, another strength."""
UNKNOWN = "unknown"
SPECIES = r"^[a-z0-9][a-z0-9-]{0,63}$"
DIGEST = r"^sha256:[0-9a-f]{64}$"
MOST_VERSIONS = 10**9
MOST_PARENTS = 1000


class Parent(Record):
    """An edge to what an adapter was made from: a base, or another adapter."""

    kind: Kinship
    digest: str


class Identity(Document):
    """What every card says."""

    species: Annotated[str, Field(pattern=SPECIES)]
    version: Annotated[int, Field(ge=1, le=MOST_VERSIONS)]
    digest: Annotated[str, Field(pattern=DIGEST)]
    """Digest of the adapter's weights and canonical configuration; the entry's name."""
    created: str
    """UTC, ISO 8601."""
    niche: str
    description: str = ""
    base: dict[str, Any]
    """`name`, `revision`, `digest`."""
    parents: Annotated[list[Parent], Field(max_length=MOST_PARENTS)]
    """A first adapter has the base as its parent."""
    licence: str
    versions: dict[str, str]

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class AdapterCard(Identity, Findings):
    """Of an adapter that a recipe grew, with the evidence for it."""

    schema_: Annotated[Literal["card/1"], Field(alias="schema")] = "card/1"
    species: Annotated[str, Field(pattern=SPECIES)]
    verdict: Outcome
    recipe: dict[str, Any]
    data_digest: str
    run: str
    cost: dict[str, float]
    licence: str = "apache-2.0"
    versions: dict[str, str]

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class UnmeasuredCard(Identity):
    """Of an adapter that came from elsewhere, or was made of others, and that no recipe of ours has measured."""

    schema_: Annotated[Literal["unmeasured/1"], Field(alias="schema")] = "unmeasured/1"
    verdict: Literal["unknown"] = UNKNOWN
    niche: str = UNKNOWN
    recipe: Literal["unknown"] = UNKNOWN
    licence: str = UNKNOWN
    versions: dict[str, str] = Field(default_factory=dict[str, str])
    origin: str
    """In words: where it came from, or how it was made."""
    shape: dict[str, Any] = Field(default_factory=dict[str, Any])
    """What its configuration says of it: kind, rank, modules."""
    claims: dict[str, list[str]] = Field(default_factory=dict[str, list[str]])
    """What its makers say of it: tags, data sets, languages. Nobody has checked it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


Card = AdapterCard | UnmeasuredCard

CARDS: TypeAdapter[Card] = TypeAdapter(Annotated[Card, Field(discriminator="schema_")])
"""Reads either kind by its schema."""
