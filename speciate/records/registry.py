"""What the registry says of many adapters at once: one line of each, and how they descend from each other."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from speciate.records.base import Document, Outcome, Record
from speciate.records.cards import Kinship, Parent


class Gained(Record):
    """The gain in short."""

    metric: str
    base: float
    adapter: float
    delta: float
    ci95: tuple[float, float]
    n: int


class Lost(Record):
    """The forgetting in short."""

    delta: float
    ci95: tuple[float, float]
    ci95_upper: float
    n: int
    nats: float | None = None


class Listed(Record):
    """One entry in short."""

    species: str
    version: int
    digest: str
    created: str
    verdict: Outcome | Literal["unknown"]
    niche: str
    description: str
    base: dict[str, Any]
    parents: list[Parent]
    licence: str
    run: str = ""
    seed: int | None = None
    gain: Gained | None = None
    forgetting: Lost | None = None
    aliases: list[str] = Field(default_factory=list[str])
    """Names beside its version: `best` for `lean-prover@best`."""


class Kin(Record):
    """A node of a phylogeny: a base, an entry, or an ancestor that is not in this registry."""

    digest: str
    what: Literal["base", "entry", "absent"]
    name: str
    entry: Listed | None = None


class Branch(Record):
    """An edge of a phylogeny."""

    parent: str
    child: str
    kind: Kinship
    recipe: list[str] = Field(default_factory=list[str])
    """Where the child's recipe differs from the parent's, as `train.lora.r: 8 -> 16`."""


class Phylogeny(Document):
    """Who descends from whom: parents come before their children."""

    schema_: Annotated[Literal["phylogeny/1"], Field(alias="schema")] = "phylogeny/1"
    kin: list[Kin]
    branches: list[Branch]
    left_out: int = 0
    """Entries beyond the number asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Fault(Record):
    """Something that is not as it was written."""

    where: str
    what: str
    remedy: str = ""
    """What to do, where that is known."""


class Verification(Document):
    """What was found when the registry was read again, byte for byte."""

    schema_: Annotated[Literal["verification/1"], Field(alias="schema")] = "verification/1"
    entries: int
    faults: list[Fault]
    signed: dict[str, str] = Field(default_factory=dict[str, str])
    """By whom, of every entry that is whole: its folder's name, and `signed by NAME (trusted)` or the like."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
