"""Records that are files or `--json` answers by themselves: the data's manifest, what was found of a species, a run."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from speciate.records.base import Document, Outcome, Record
from speciate.records.figures import (
    Baseline,
    Contamination,
    Drift,
    Estimate,
    FamilyScore,
    Forgetting,
    GateResult,
    Intact,
    Trouble,
)
from speciate.records.trials import Choice, Chosen


class OwnAnswers(Record):
    """Training rows that the base answered itself."""

    replay: int = 0
    """Rows of general skills with the base's answers."""
    replay_left_out: int = 0
    """Rows left out, whose answer the base did not end or left empty."""
    asked: int = 0
    """Rows of the niche that the base was asked for."""
    replaced: int = 0
    """Of these, the rows whose given answer one of the base took the place of, the verifier having accepted it."""
    shown: int = 0
    """Rows of the niche whose given answer the base was shown."""
    reworded: int = 0
    """Of these, the rows where what it then said was accepted by the verifier, and is not what it was shown."""


class DataManifest(Document):
    """What the training data is made of, and what proves that it is apart from the evaluation items."""

    schema_: Annotated[Literal["data/1"], Field(alias="schema")] = "data/1"
    rows: int
    replay_rows: int
    families: dict[str, int]
    digest: str
    eval_digest: str
    rejected_references: int
    """Generated proofs that the verifier did not accept; none of them is in the data."""
    duplicates_removed: int
    overlap_with_eval: int
    """Always 0: rows whose canonical statement is an evaluation item are removed, and counted above."""
    given_away_removed: int = 0
    """Rows left out because they share a run of 13 words with an evaluation item."""
    own_answers: OwnAnswers | None = None
    """Of rows in the base's own words, where the recipe asks for any."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Findings(Document):
    """What was measured of a species, as its run and its card say it."""

    species: str
    verdict: Outcome
    gates: list[GateResult]
    gain: Estimate
    transfer: Estimate | None = None
    """The same on the families held out of training."""
    forgetting: Forgetting
    families: list[FamilyScore]
    """Of the niche and of the families held out of training."""
    general: list[FamilyScore] = Field(default_factory=list[FamilyScore])
    """Of the general suite."""
    drift: list[Drift] = Field(default_factory=list[Drift])
    troubles: list[Trouble] = Field(default_factory=list[Trouble])
    contamination: Contamination | None = None
    suite: str = ""
    """Name and version of the general suite."""
    suite_digest: str = ""
    """Of the general suite and all of its items."""
    chosen: dict[Choice, Chosen] = Field(default_factory=dict[Choice, Chosen])
    """`checkpoint` and `strength`, where several were tried on development items."""
    hammer: Baseline | None = None
    """What Lean's automation does without a model."""
    intact: Intact
    seed: int
    recipe_digest: str
    versions: dict[str, str]


class RunRecord(Findings):
    """`run.json`, and the answer of `speciate train --json`."""

    schema_: Annotated[Literal["run/1"], Field(alias="schema")] = "run/1"
    run: str
    run_dir: str
    adapter: str
    """Folder of the registered adapter."""
    adapter_digest: str
    seconds: dict[str, float]
    tokens_per_second: float
    """Training tokens, padding excluded, for each second of the training stage."""
    peak_memory_bytes: int
    """Highest resident size of this process; the verifier's own process is counted apart."""
    data: DataManifest
    device: str
    precision: str
    files: dict[str, str] = Field(default_factory=dict[str, str])
    """Digests of the files of rows, losses and divergences that the figures were made from."""
    notes: list[str] = Field(default_factory=list[str])

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
