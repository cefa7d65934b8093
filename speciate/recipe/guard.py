"""What protects the base's other skills while an adapter trains: each method is a field, and they compose.

Which of them is worth its cost is measured (`evals/results/forgetting`).
"""

from typing import Annotated, Literal

from pydantic import Field

from speciate.recipe.fields import Count, Positive, Section


class Kl(Section):
    """KL divergence to the base, beside the loss; the base's logits come from the model with the adapter off."""

    coefficient: Positive = 1.0
    """Weight of the mean divergence in nats per token."""
    direction: Literal["forward", "reverse"] = "forward"
    """forward, KL(base || adapter), keeps all that the base would say; reverse is KL(adapter || base)."""
    on: Literal["self", "replay", "niche"] = "self"
    """Tokens that are held: of texts that the base says by itself, of general rows, or of the niche's rows."""
    rows: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Rows that are held beside each batch."""
    texts: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Different rows that are held in the course of the training."""


class OnPolicy(Section):
    """Rows that the base answers itself: of several answers to a task, one that the verifier accepts."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Fraction of the niche's rows whose answer is replaced, where an answer of the base is right."""
    samples: Annotated[int, Field(ge=1, le=1024)] = 4
    """Answers that are drawn for each task."""
    temperature: Positive = 1.0
    """How freely they are drawn."""


class Guard(Section):
    """What protects the base's other skills while the adapter trains."""

    replay: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    """Fraction of the training rows that come from the base's general skills."""
    replay_from: Literal["rows", "self"] = "rows"
    """rows: general skills with their answers. self: the same questions, answered by the base itself."""
    kl: Kl | None = None
    """Divergence to the base; null adds none."""
    on_policy: OnPolicy | None = None
    """Answers of the base in place of given ones; null keeps those given."""
    loss: Literal["nll", "dft", "entropy", "selective", "mask-target"] = "nll"
    """Loss of each token. nll: all count alike. dft: weighed by its probability (Wu et al. 2025). entropy: tokens that
    the model is sure of count less (EAFT, 2026). selective: tokens that the base finds unlikely do not count (STM, Wu
    et al. 2025). mask-target: beside the loss, the other words keep the base's probabilities among each other.
    """


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
