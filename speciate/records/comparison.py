"""What a comparison of runs says: the same record is printed, drawn as a page, and given as JSON."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from speciate.records.base import Document, Outcome, Record
from speciate.records.evaluation import Score
from speciate.records.figures import (
    Baseline,
    Contamination,
    Drift,
    Estimate,
    FamilyScore,
    Forgetting,
    GateResult,
    Intact,
    Spread,
    Trouble,
)
from speciate.records.rows import Role
from speciate.records.trials import Choice, Chosen


class CurvePoint(Record):
    """What training told after one step."""

    step: int
    loss: float | None = None
    dev_loss: float | None = None
    learning_rate: float | None = None


class Arm(Record):
    """One way of growing a species, measured against its base: one adapter, or several that differ in their seed."""

    label: str
    """Short and unique in the comparison."""
    species: str
    runs: list[str]
    seeds: list[int | None]
    base: dict[str, Any]
    """`name`, `revision`, `digest`."""
    adapters: list[str]
    """Digests."""
    verdict: Outcome | None
    """Of its recipe's gates; null where nothing was asked for. The worst of its seeds."""
    gates: list[GateResult] = Field(default_factory=list[GateResult])
    """Of the seed with that verdict."""
    scores: list[Score] = Field(default_factory=list[Score])
    """Of a base by itself, which has no gain: the mean score in each role."""
    gain: Estimate | None = None
    transfer: Estimate | None = None
    forgetting: Forgetting | None = None
    families: list[FamilyScore] = Field(default_factory=list[FamilyScore])
    """Of the niche and of the families held out of training."""
    general: list[FamilyScore] = Field(default_factory=list[FamilyScore])
    """Of the general suite."""
    drift: list[Drift] = Field(default_factory=list[Drift])
    spread: tuple[Spread, Spread] | None = None
    """Of base and adapter, over all families."""
    spread_change: tuple[float, tuple[float, float]] | None = None
    """The adapter's spread minus the base's, with its 95% interval."""
    hammer: Baseline | None = None
    intact: Intact | None = None
    troubles: list[Trouble] = Field(default_factory=list[Trouble])
    contamination: Contamination | None = None
    chosen: dict[Choice, Chosen] = Field(default_factory=dict[Choice, Chosen])
    """`checkpoint` and `strength` of its first seed, where several were tried on development items."""
    curve: list[CurvePoint] = Field(default_factory=list[CurvePoint])
    """Of its first seed."""
    cost: dict[str, float] = Field(default_factory=dict[str, float])
    """`seconds`, `peak_memory_bytes`, `tokens_per_second`, `adapter_parameters`; means over the seeds."""
    provenance: dict[str, str] = Field(default_factory=dict[str, str])
    """Recipe, data and suite digests, device, precision, versions."""
    on_front: bool | None = None
    """No other arm gains more and forgets less; null where gain or forgetting is not known."""

    @property
    def alone(self) -> bool:
        """Whether it is a base by itself: its families hold its scores twice, and no change means anything."""
        return not self.adapters


class Contrast(Record):
    """Two arms on the same items, the second minus the first; `first` is always the comparison's first arm."""

    first: str
    second: str
    role: Role
    estimate: Estimate
    """`base` is the first arm's mean score, `adapter` the second's."""
    p_holm: float | None
    """The McNemar p-value, adjusted by Holm for all contrasts; null where an arm has the mean of several seeds."""


class Flip(Record):
    """An item that changed from right to wrong, or from wrong to right, with an adapter.

    Right is a score of 1: of several answers all are right, and of those that are not the first is shown.
    """

    arm: str
    item: str
    family: str
    role: Role
    lost: bool
    """Right to wrong."""
    prompt: str
    base_output: str
    adapter_output: str
    reason: str
    detail: str
    """What the verifier said of the wrong answer."""


class RecipeDifference(Record):
    """A key on which recipes differ."""

    key: str
    values: list[str]
    """One for each arm, as YAML; empty where the arm's recipe has no such key, or there is no recipe."""


class Comparison(Document):
    """`compare --json`."""

    schema_: Annotated[Literal["compare/1"], Field(alias="schema")] = "compare/1"
    arms: list[Arm]
    contrasts: list[Contrast] = Field(default_factory=list[Contrast])
    verdict: list[str]
    """In words, the most important first; one or two sentences for each arm, then what casts doubt on them."""
    items: dict[str, int]
    """Items of each role that all arms answered."""
    left_out: dict[str, int] = Field(default_factory=dict[str, int])
    """Items of each role that not all arms answered, where a comparison of the common ones was asked for."""
    flips: list[Flip] = Field(default_factory=list[Flip])
    flips_total: int = 0
    """Flips of all arms, shown or not."""
    recipe: list[RecipeDifference] = Field(default_factory=list[RecipeDifference])

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
