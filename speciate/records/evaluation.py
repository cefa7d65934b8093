"""What an evaluation of several models on one suite says."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from speciate.records.base import Document, Record
from speciate.records.figures import (
    Contamination,
    Drift,
    Estimate,
    FamilyScore,
    Forgetting,
    Nats,
    Spread,
    Trouble,
)
from speciate.records.rows import Role


class Score(Record):
    """The mean score of one model on the items of one role."""

    role: Role
    value: float
    ci95: tuple[float, float]
    n: int
    """Items."""
    samples: int = 1
    """Answers to each item."""


class PassAtK(Record):
    """The chance that one of k answers is right (Chen et al. 2021), mean over the items of one role."""

    role: Role
    k: int
    value: float
    ci95: tuple[float, float]
    n: int


class ModelScores(Record):
    """One model of an evaluation; an adapter is compared with the base on the same items."""

    model: Annotated[str, Field(pattern=r"^\w[\w@.+-]*$")]
    """Its name in the evaluation, and of its files: base, or an adapter's."""
    reference: str
    """As it was asked for."""
    digest: str
    species: str = ""
    version: int | None = None
    run: str = ""
    seed: int | None = None
    scores: list[Score]
    pass_at_k: list[PassAtK] = Field(default_factory=list[PassAtK])
    gain: Estimate | None = None
    transfer: Estimate | None = None
    forgetting: Forgetting | None = None
    nats: Nats | None = None
    families: list[FamilyScore] = Field(default_factory=list[FamilyScore])
    """Of the niche and of the families held out of training; of the base, with itself."""
    general: list[FamilyScore] = Field(default_factory=list[FamilyScore])
    drift: list[Drift] = Field(default_factory=list[Drift])
    spread: tuple[Spread, Spread] | None = None
    """Of base and adapter."""
    spread_change: tuple[float, tuple[float, float]] | None = None
    """The adapter's spread minus the base's, with its 95% interval."""
    troubles: list[Trouble] = Field(default_factory=list[Trouble])
    contamination: Contamination | None = None
    """Null where no training rows are at hand."""


class EvalRecord(Document):
    """`eval.json`, and the answer of `speciate eval --json`."""

    schema_: Annotated[Literal["eval/1"], Field(alias="schema")] = "eval/1"
    eval: str
    """Name of its folder."""
    eval_dir: str
    suite: str
    suite_version: int
    suite_digest: str
    """Of the suite and all of its items."""
    base: dict[str, Any]
    """`name`, `revision`, `digest`."""
    models: list[ModelScores]
    """The base first."""
    items: dict[str, int]
    """Items of each role."""
    left_out: dict[str, str] = Field(default_factory=dict[str, str])
    """Families that were not asked, and why."""
    chance: dict[str, float] = Field(default_factory=dict[str, float])
    answers: int
    """Of all models."""
    recalled: int
    """Of these, those that had been given before."""
    seconds: float
    tokens_per_second: float
    """Tokens of the prompts and answers that were generated, in each second; 0 where all answers were recalled."""
    device: str
    precision: str
    versions: dict[str, str]
    files: dict[str, str] = Field(default_factory=dict[str, str])
    """Digests of the files of rows, losses and divergences that the figures were made from."""
    notes: list[str] = Field(default_factory=list[str])

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
