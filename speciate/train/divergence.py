"""The guard that keeps an adapter's words near its base's: KL divergence to the base on rows beside those trained on.

The base's logits come from the same model with the adapter switched off, so no second model is held. Forgetting follows
this divergence (Shenfeld et al. 2025, arXiv 2509.04259), and to hold it on what the base says by itself removes most
forgetting (Marek et al. 2026, arXiv 2605.26097). Knows nothing of where its rows come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from speciate.train.encoding import IGNORED, Encoded, training_order
from speciate.train.logits import adapter_off, logits_at, padded

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

Direction = Literal["forward", "reverse"]


@dataclass(frozen=True, slots=True)
class KlGuard:
    """On what, how much and which way."""

    rows: Sequence[Encoded]
    """Tokens with a label are counted, each before it is read."""
    batch_size: int
    """Rows that are held in one step."""
    coefficient: float
    """Weight of the mean divergence per token, beside the loss per token."""
    direction: Direction
    """forward is KL(base || adapter), which keeps all that the base would say; reverse is KL(adapter || base)."""
    seed: int

    def order(self, steps: int) -> list[int]:
        """The rows of the whole run, in order; every row comes as often as any other, to one."""
        epochs = steps * self.batch_size / len(self.rows)
        return training_order([len(row.input_ids) for row in self.rows], self.batch_size, epochs, self.seed)

    def batch(self, order: Sequence[int], step: int) -> list[Encoded]:
        """The rows of one step, the first being 0."""
        start = step * self.batch_size
        return [self.rows[index] for index in order[start : start + self.batch_size]]


def kl_to_base(model: "PeftModel", rows: Sequence[Encoded], direction: Direction, pad: int) -> "torch.Tensor":
    """Mean divergence per counted token between adapter and base, in nats, with its gradient."""
    given, labels = padded(rows, pad, model.device)
    counted = labels[:, 1:] != IGNORED
    before = adapter_off(model, given, counted)
    after = logits_at(model, model, given, counted)
    return divergence(before, after, direction)


def divergence(before: "torch.Tensor", after: "torch.Tensor", direction: Direction) -> "torch.Tensor":
    """Mean over tokens of KL between the distributions of two tensors of logits (tokens, vocabulary)."""
    import torch

    base, adapter = (torch.log_softmax(logits.float(), dim=-1) for logits in (before, after))
    first, second = (base, adapter) if direction == "forward" else (adapter, base)
    # kl_div(input, target) is KL(target || input).
    return torch.nn.functional.kl_div(second, first, reduction="batchmean", log_target=True)
