"""What protects the base's other skills while an adapter trains: each method is a field, and they compose.

`evals/studies/forgetting.py` measures which of them is worth its cost.
"""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from speciate.recipe.fields import Count, Positive, Section
from speciate.recipe.problems import shown


class Kl(Section):
    """KL divergence to the base, beside the loss; the base's logits come from the model with the adapter off."""

    coefficient: Positive = 1.0
    """Weight of the mean divergence in nats per token."""
    direction: Literal["forward", "reverse"] = "forward"
    """forward, KL(base || adapter), keeps all that the base would say; reverse is KL(adapter || base)."""
    on: Literal["self", "general", "replay", "niche"] = "self"
    """Tokens that are held: of texts that the base says by itself, of rows of general skills that are drawn for this
    alone, of the rows of replay, or of the niche's rows.
    """
    tokens: Literal["all", "answers"] = "all"
    """Of general rows: all of their words, or those of the answers alone, which then weigh more. Texts that the base
    says count whole, and rows of the niche by their answers.
    """
    rows: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Rows that are held beside each batch."""
    texts: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Different rows that are held in the course of the training."""

    @field_validator("tokens")
    @classmethod
    def _has_answers(cls, tokens: str, info: ValidationInfo) -> str:
        if tokens == "answers" and info.data.get("on") == "self":
            raise ValueError("texts that the base says by itself have no answers: leave tokens out, or set on: general")
        return tokens


class OnPolicy(Section):
    """Rows that the base answers itself: of several answers to a task, one that the verifier accepts."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Fraction of the niche's rows whose answer is replaced, where an answer of the base is right."""
    samples: Annotated[int, Field(ge=1, le=1000)] = 4
    """Answers that are drawn for each task."""
    temperature: Annotated[float, Field(gt=0, le=10)] = 1.0
    """How freely they are drawn."""


class Distill(Section):
    """Self-distillation: the base is shown each answer and says it in its own words (Yang et al. 2024, arXiv
    2402.13669); what the verifier accepts takes its place. It needs a base that follows what stands in its prompt.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Fraction of the niche's rows whose answer is shown."""
    samples: Annotated[int, Field(ge=1, le=1000)] = 1
    """Answers that are drawn for each, of which the first right one is taken."""
    temperature: Annotated[float, Field(ge=0, le=10)] = 1.0
    """How freely they are drawn; 0 takes the base's likeliest words."""


class PlainLoss(Section):
    """A loss without settings."""

    kind: Literal["nll", "dft"] = "nll"
    """nll: all tokens count alike. dft: each weighed by its own probability (Wu et al. 2025, arXiv 2508.05629)."""


class EntropyLoss(Section):
    """Tokens that the model is sure of count less (EAFT, Diao et al. 2026, arXiv 2601.02151)."""

    kind: Literal["entropy"]
    """The loss."""
    words: Annotated[int, Field(ge=2, le=1_048_576)] = 20
    """The entropy is that of the model's likeliest words, of which there are this many."""


class SelectiveLoss(Section):
    """Tokens that the base finds unlikely do not count (STM, Wu et al. 2025, arXiv 2501.14315)."""

    kind: Literal["selective"]
    """The loss."""
    threshold: Annotated[float, Field(gt=1)] = 2.5
    """Perplexity of a token under the base, above which it does not count; the token that ends an answer always does.
    """


class MaskTargetLoss(Section):
    """Beside nll, the other words keep the base's probabilities among each other (Xu et al. 2026, arXiv 2605.29498)."""

    kind: Literal["mask-target"]
    """The loss."""
    weight: Positive = 1.0
    """Of the divergence over all words but the right one, in nats per token."""


LossName = Literal["nll", "dft", "entropy", "selective", "mask-target"]
WHOLE_LOGITS = ("entropy", "mask-target")
"""Losses that read the logits of all words."""
AnyLoss = PlainLoss | EntropyLoss | SelectiveLoss | MaskTargetLoss


def _mapping(given: Any) -> Any:
    """A loss by its name alone is one with its defaults."""
    if isinstance(given, str):
        return {"kind": given}
    if isinstance(given, Section) or (isinstance(given, dict) and "kind" in given):
        return cast("dict[str, Any] | Section", given)
    raise ValueError(f"must be the name of a loss, or a section with the key 'kind', not {shown(given)}")


Loss = Annotated[
    Annotated[AnyLoss, Field(discriminator="kind")],
    BeforeValidator(_mapping, json_schema_input_type=LossName | AnyLoss),
]


class Guard(Section):
    """What protects the base's other skills while the adapter trains."""

    replay: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    """Fraction of the training rows that come from the base's general skills."""
    replay_from: Literal["rows", "self"] = "rows"
    """rows: general skills with their answers. self: the same questions, answered by the base, right or wrong."""
    replay_temperature: Annotated[float, Field(ge=0, le=10)] = 1.0
    """How freely the base answers them: 1 draws as it speaks, so that the loss on them is the divergence to the base; 0
    takes its likeliest words.
    """
    kl: Kl | None = None
    """Divergence to the base; null adds none."""
    on_policy: OnPolicy | None = None
    """Answers of the base in place of given ones; null keeps those given."""
    distill: Distill | None = None
    """Given answers in the base's own words; null keeps them. With on_policy: those that it has no own answer to."""
    loss: Loss = PlainLoss()
    """Loss of each token: nll, dft, entropy, selective or mask-target, by its name or as a section with `kind`."""

    @field_validator("kl")
    @classmethod
    def _has_rows_to_hold(cls, kl: Kl | None, info: ValidationInfo) -> Kl | None:
        if kl and kl.on == "replay" and info.data.get("replay") == 0:
            raise ValueError("there are no replay rows to hold; raise guard.replay, or set guard.kl.on=general or self")
        return kl


class Strength(Section):
    """How much of the trained adapter is kept: its strengths are tried on development items."""

    tried: Annotated[tuple[Annotated[float, Field(gt=0, le=2)], ...], Field(strict=False, max_length=50)] = ()
    """Strengths to try, 1 being the adapter as it was trained; empty keeps it so. The strongest that passes
    gates.max_forgetting on development items is saved.
    """
    items: Count = 20
    """Development items of each general family; of the niche all of data.dev_items are asked."""


class Stop(Section):
    """Measuring during training, to stop in time and keep the best checkpoint."""

    every: Count = 100
    """Steps between two measurements."""
    items: Count = 10
    """Development items of each general family."""
    target: Annotated[float, Field(gt=-1, le=1)] | None = None
    """Gain on development items of the niche at which training stops; null never stops for it."""
