"""Figures that depend on a sample: none stands alone, each comes with its interval and its n."""

from typing import Annotated, Literal

from pydantic import Field

from speciate.records.base import Outcome, Record

MOST_ITEMS = 10**12
"""A number of items or rows that is larger is none."""


class Estimate(Record):
    """A paired difference, adapter minus base, with its two-sided 95% interval; over several seeds, their mean."""

    metric: str
    base: float
    adapter: float
    delta: float
    ci95: tuple[float, float]
    n: int
    """Items that both models answered."""
    right_to_wrong: int
    wrong_to_right: int
    """Items; right is a score of 1, which several answers have where all are right. Of several seeds, pairs of item and
    seed."""
    p_mcnemar: float | None
    """Exact two-sided McNemar p-value of the right/wrong changes; null over several seeds, whose pairs share items, and
    where scores are means over seeds, which are right more rarely than those of one."""
    seeds: int = 1
    """Adapters, trained from as many seeds, that the figures are the mean of."""


class Nats(Record):
    """Loss on a fixed text, in nats per token; a positive delta means the adapter finds the text more surprising."""

    base: float
    adapter: float
    delta: float
    ci95: tuple[float, float]
    tokens: int
    documents: int
    bits_per_byte: tuple[float, float] | None = None
    """Of base and adapter, which can be compared across tokenizers."""


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
    p_mcnemar: float | None
    nats: Nats | None = None
    seeds: int = 1


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
    """One family of items: the scores of base and adapter, and how they differ."""

    family: str
    n: int
    base_right: int
    adapter_right: int
    """Over several seeds, right answers of all of them."""
    base: float
    adapter: float
    """Mean scores: the shares of right answers where no answer is right in part."""
    base_ci95: tuple[float, float]
    adapter_ci95: tuple[float, float]
    delta: float
    delta_ci95: tuple[float, float]
    """Of the paired difference."""
    p_holm: float | None = None
    """Exact McNemar p-value, adjusted by Holm for all families of its role."""
    chance: float = 0.0
    """Share that a guesser gets right."""
    held_out: bool = False


class Baseline(Record):
    """What needs no model, on items of the niche that base and adapter answered too."""

    name: str
    solved: Annotated[int, Field(ge=0, le=MOST_ITEMS)]
    n: Annotated[int, Field(ge=1, le=MOST_ITEMS)]
    ci95: tuple[float, float]
    """Of the share that it solves."""
    base_solved: int
    adapter_solved: int
    adapter_only: int
    """Items that the adapter solves and this does not."""


class Drift(Record):
    """How far an adapter's words are from its base's: mean KL divergence in nats per token, on what the base says."""

    role: Literal["niche", "transfer", "general"]
    forward: float
    """KL(base || adapter)."""
    forward_ci95: tuple[float, float]
    reverse: float
    """KL(adapter || base), on the same tokens."""
    reverse_ci95: tuple[float, float]
    tokens: int
    items: int


class Trouble(Record):
    """Rows of one model without a proper answer, for one reason."""

    model: str
    reason: str
    """empty, unfinished, nan, crash or timeout."""
    rows: Annotated[int, Field(ge=0, le=MOST_ITEMS)]
    n: Annotated[int, Field(ge=0, le=MOST_ITEMS)]

    @property
    def share(self) -> float:
        """Of all rows of the model."""
        return self.rows / self.n if self.n else 0.0


class Contamination(Record):
    """Evaluation items that training rows give away."""

    rows: int
    """Training rows that were looked at."""
    items: int
    exact: int
    """Items whose whole text is that of a training row."""
    ngram: int
    """Other items that share a run of 13 words with one; runs of many rows do not count (Brown et al. 2020)."""
    limit: float
    """Share of the items above which it is an error."""

    @property
    def share(self) -> float:
        """Of the items."""
        return (self.exact + self.ngram) / self.items if self.items else 0.0


class Spread(Record):
    """How uneven a model is: the standard deviation of its accuracy between families, sampling noise taken out.

    0 is equally good everywhere, 0.5 is perfect in half of the families and useless in the others.
    """

    value: float
    ci95: tuple[float, float]
    families: int
