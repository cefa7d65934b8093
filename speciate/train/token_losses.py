"""What each token of an answer counts in the loss: small functions of tensors.

`logits` are (tokens, vocabulary), a row for each token that counts, and `targets` (tokens) the tokens themselves; what
comes back is (tokens), in nats. A word may be impossible (logit -inf), and there may be no tokens at all.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from speciate.train.encoding import IGNORED, Encoded

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """Which loss, and its settings; those of the others do not count."""

    kind: Literal["nll", "dft", "entropy", "selective", "mask-target"] = "nll"
    words: int = 20
    """entropy: how many of the likeliest words it is the entropy of."""
    threshold: float = 2.5
    """selective: perplexity under the base, above which a token does not count."""
    weight: float = 1.0
    """mask-target: of the divergence beside the loss."""


PLAIN = TokenLoss()
"""All tokens count alike."""


def nll(logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """-ln p(y) of each token y; infinite where p(y) is 0."""
    import torch

    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")


def by_probability(logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """-p(y) ln p(y) of each token, the first p(y) without gradient (DFT, Wu et al. 2025, arXiv 2508.05629)."""
    plain = nll(logits, targets)
    weights = (-plain.detach()).exp()
    return (weights * plain).where(weights != 0, 0.0)


def unsure(logits: "torch.Tensor", words: int) -> "torch.Tensor":
    """H(p') / ln k of each token, in [0, 1] and without gradient, p' being the probabilities of the k = `words`
    likeliest words among each other: 0 where the model is sure, 1 where they are all alike.
    """
    import torch

    count = min(words, logits.shape[-1])
    likely = logits.detach().float().topk(count, dim=-1).values.softmax(dim=-1)
    return (torch.special.entr(likely).sum(dim=-1) / math.log(count)).clamp(0, 1)


def entropy(logits: "torch.Tensor", targets: "torch.Tensor", words: int) -> "torch.Tensor":
    """-(H(p') / ln k) ln p(y) of each token: what the model is sure of is not torn down (EAFT, Diao et al. 2026, arXiv
    2601.02151; k = 20 there).
    """
    weights = unsure(logits, words)
    # A sure model that is wrong has an infinite loss of weight 0; its limit is 0.
    return (weights * nll(logits, targets)).where(weights != 0, 0.0)


def among_others(logits: "torch.Tensor", base: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """KL(q' || p') of each token, q' of the base and p' of the adapter being the probabilities of all words but the
    right one, made to sum to 1 again: the right word is free, the odds of the others are held (Mask the Target, Xu et
    al. 2026, arXiv 2605.29498).
    """
    import torch

    lowest = torch.finfo(torch.float32).min

    def without(given: "torch.Tensor") -> "torch.Tensor":
        # Low, but finite: infinity from infinity is no number, and has no gradient.
        return given.float().clamp(min=lowest / 4).scatter(-1, targets[:, None], lowest / 2).log_softmax(dim=-1)

    held, said = without(base.detach()), without(logits)
    return (held.exp() * (held - said)).sum(dim=-1)


def each_token(
    loss: TokenLoss, logits: "torch.Tensor", targets: "torch.Tensor", base: "torch.Tensor | None" = None
) -> "torch.Tensor":
    """The loss of each token; `base` are the base's logits, which mask-target needs."""
    match loss.kind:
        case "dft":
            return by_probability(logits, targets)
        case "entropy":
            return entropy(logits, targets, loss.words)
        case "mask-target" if base is not None:
            return nll(logits, targets) + loss.weight * among_others(logits, base, targets)
        case _:
            return nll(logits, targets)


def selected(
    rows: Sequence[Encoded], perplexities: Sequence[Sequence[float]], threshold: float, always: Collection[int]
) -> list[Encoded]:
    """The rows, where a token counts only if its perplexity 1 / q(y) under the base is at most `threshold` (Selective
    Token Masking, Wu et al. 2025, arXiv 2501.14315; 2.5 there), or if it is one of `always`: an adapter that is not
    taught its end token never stops. `perplexities` has one for each token of each row that counts so far.
    """

    def labels(row: Encoded, known: Sequence[float]) -> list[int]:
        left = iter(known)
        likely = (label != IGNORED and (next(left) <= threshold or label in always) for label in row.labels)
        return [label if counts else IGNORED for label, counts in zip(row.labels, likely, strict=True)]

    return [replace(row, labels=labels(row, known)) for row, known in zip(rows, perplexities, strict=True)]
