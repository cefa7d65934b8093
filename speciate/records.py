"""Every record that goes to disk or to `--json`: one frozen model each, with a schema name that is written with it.

A number that depends on a sample never stands alone: it comes as an `Estimate` with its interval and its n.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from speciate import __version__

Outcome = Literal["passed", "failed", "undecided"]


class Record(BaseModel):
    """Frozen, and an unknown field is an error: a record is read by the code that knows it, or not at all."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class Document(Record):
    """A record that is a file or a `--json` answer by itself."""

    speciate: str = __version__
    """Version of speciate that wrote it."""

    def document(self) -> dict[str, Any]:
        """JSON values, with the field `schema` under its public name."""
        return self.model_dump(mode="json", by_alias=True)


class Estimate(Record):
    """A paired difference, adapter minus base, with its two-sided 95% interval."""

    metric: str
    base: float
    adapter: float
    delta: float
    ci95: tuple[float, float]
    n: int
    """Items that both models answered."""
    right_to_wrong: int
    wrong_to_right: int
    p_mcnemar: float
    """Exact two-sided McNemar p-value of the right/wrong changes."""


class Nats(Record):
    """Loss on a fixed text, in nats per token; a positive delta means the adapter finds the text more surprising."""

    base: float
    adapter: float
    delta: float
    ci95: tuple[float, float]
    tokens: int
    documents: int


class Forgetting(Record):
    """What the general suite lost: base minus adapter, so positive is a loss."""

    metric: str
    base: float
    adapter: float
    delta: float
    ci95: tuple[float, float]
    ci95_upper: float
    """Upper one-sided 95% bound: the number that the gate looks at."""
    n: int
    right_to_wrong: int
    wrong_to_right: int
    p_mcnemar: float
    nats: Nats | None = None


class Intact(Record):
    """The proof that the base is what it was."""

    base_digest_before: str
    base_digest_after: str
    memory_digest_before: str
    memory_digest_after: str
    logits_identical: bool
    """Adapter-off logits are bit-identical to those of the base loaded afresh from disk."""
    prompts: int
    """Prompts on which the logits were compared."""

    @property
    def holds(self) -> bool:
        """True where nothing of the base changed."""
        return (
            self.base_digest_before == self.base_digest_after
            and self.memory_digest_before == self.memory_digest_after
            and self.logits_identical
        )


class GateResult(Record):
    """One gate of the recipe, decided with the interval that it looked at."""

    gate: str
    bound: float
    observed: float
    interval: tuple[float, float]
    """Two-sided 90% interval, whose ends are the one-sided 95% bounds."""
    outcome: Outcome
    n: int
    n_to_decide: int | None = None
    """Items that would decide it with 80% power, where it is undecided."""
    explanation: str


class FamilyScore(Record):
    """One family of items: how many were right, by base and by adapter."""

    family: str
    n: int
    base_right: int
    adapter_right: int
    base_ci95: tuple[float, float]
    adapter_ci95: tuple[float, float]
    held_out: bool = False


class Baseline(Record):
    """What needs no model, on items of the niche that base and adapter answered too."""

    name: str
    solved: int
    n: int
    ci95: tuple[float, float]
    """Of the share that it solves."""
    base_solved: int
    adapter_solved: int
    adapter_only: int
    """Items that the adapter solves and this does not."""


class EvalRow(Record):
    """One answer to one item."""

    item: str
    """Digest of the item."""
    family: str
    model: Literal["base", "adapter"]
    split: Literal["niche", "transfer", "general"]
    prompt: str
    output: str
    score: float
    reason: str
    detail: str
    tokens: int
    """Tokens generated, the stop token included."""
    ms: float
    """Verifier time in milliseconds."""


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

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class AdapterCard(Document):
    """`card.json` beside an adapter: what it is, what it descends from and what it was measured to do."""

    schema_: Annotated[Literal["card/1"], Field(alias="schema")] = "card/1"
    species: str
    version: int
    digest: str
    """Digest of the adapter's weights and canonical configuration; the entry's name."""
    created: str
    """UTC, ISO 8601."""
    niche: str
    description: str = ""
    base: dict[str, Any]
    """`name`, `revision`, `digest`."""
    parents: list[dict[str, str]]
    """Edges to what it was grown from: `kind` and `digest`. A first adapter has the base as its parent."""
    recipe: dict[str, Any]
    recipe_digest: str
    data_digest: str
    run: str
    seed: int
    verdict: Outcome
    gates: list[GateResult]
    gain: Estimate
    transfer: Estimate | None = None
    forgetting: Forgetting
    families: list[FamilyScore]
    hammer: Baseline | None = None
    intact: Intact
    versions: dict[str, str]
    cost: dict[str, float]
    licence: str = "apache-2.0"

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RunRecord(Document):
    """`run.json`, and the answer of `speciate train --json`."""

    schema_: Annotated[Literal["run/1"], Field(alias="schema")] = "run/1"
    run: str
    run_dir: str
    species: str
    adapter: str
    """Folder of the registered adapter."""
    adapter_digest: str
    verdict: Outcome
    gates: list[GateResult]
    gain: Estimate
    transfer: Estimate | None = None
    """The same on the families held out of training."""
    forgetting: Forgetting
    families: list[FamilyScore]
    hammer: Baseline | None = None
    """What Lean's automation does without a model."""
    intact: Intact
    seconds: dict[str, float]
    tokens_per_second: float
    """Training tokens, padding excluded, for each second of the training stage."""
    peak_memory_bytes: int
    """Highest resident size of this process; the verifier's own process is counted apart."""
    seed: int
    recipe_digest: str
    data: DataManifest
    device: str
    precision: str
    versions: dict[str, str]
    notes: list[str] = []

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
