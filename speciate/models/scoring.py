"""What a model gives to text that stands: log-likelihood of continuations, loss of documents, and divergence from the
base. Contexts that several continuations share are read once. Knows nothing of right and wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speciate.models.decoding import last_logits, new_cache, padded
from speciate.models.population import BASE, Population

if TYPE_CHECKING:
    import torch

LOGITS_AT_ONCE = 2**26
"""Numbers in one batch of logits, a quarter of a gigabyte in float32."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A context, and continuations of it, none of them empty."""

    member: str
    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of one continuation."""

    nats: float
    """Natural logarithm of its probability; NaN where the model's logits are no numbers."""
    greedy: bool
    """Whether each of its tokens is the likeliest."""


def likelihoods(
    population: Population,
    choices: Sequence[Choice],
    *,
    batch_size: int,
    on_choices: Callable[[Sequence[tuple[int, list[Likelihood]]]], None] = lambda _: None,
) -> list[list[Likelihood]]:
    """The likelihoods of each choice's continuations, in order; `batch_size` counts continuations."""
    found: list[list[Likelihood]] = [[] for _ in choices]
    members = [choice.member for choice in choices]
    lengths = [len(choice.context) + max(map(len, choice.continuations)) for choice in choices]
    most = max((len(choice.continuations) for choice in choices), default=1)
    for batch in population.batches(members, lengths, max(1, batch_size // most)):
        for row, likelihood in zip(batch, _likelihoods(population, [choices[row] for row in batch]), strict=True):
            found[row] = likelihood
        on_choices([(row, found[row]) for row in batch])
    return found


def _likelihoods(population: Population, choices: Sequence[Choice]) -> list[list[Likelihood]]:
    import torch

    alone = all(len(choice.continuations) == 1 for choice in choices)
    found: list[list[Likelihood]] = []
    with torch.inference_mode(), population.speaking([choice.member for choice in choices]) as speakers:
        if alone:
            # Nothing is shared, so context and continuation are read in one pass.
            width = max(len(choice.continuations[0]) for choice in choices)
            ids, mask, positions = padded(population, [(*c.context, *c.continuations[0][:-1]) for c in choices])
            logits = last_logits(population, ids, mask, positions, None, count=max(width, 2))
            for row, choice in enumerate(choices):
                tokens = choice.continuations[0]
                found.append([_likelihood(logits[row, -len(tokens) :], tokens)])
            return found
        ids, mask, positions = padded(population, [choice.context for choice in choices])
        cache = new_cache(population)
        first = last_logits(population, ids, mask, positions, cache)
        owners = [row for row, choice in enumerate(choices) for _ in choice.continuations]
        given = [tokens[:-1] for choice in choices for tokens in choice.continuations]
        width = max(map(len, given))
        rest = None
        if width:
            chosen = torch.tensor(owners, device=ids.device)
            cache.batch_select_indices(chosen)
            speakers.keep([choices[row].member for row in owners])
            pad = population.tokenizer.pad_token_id
            more = torch.tensor([[*tokens, *[pad] * (width - len(tokens))] for tokens in given], device=ids.device)
            seen = torch.cat([mask[chosen], mask.new_ones(len(owners), width)], dim=1)
            places = positions[chosen][:, -1:] + 1 + torch.arange(width, device=ids.device)
            rest = last_logits(population, more, seen, places, cache, count=max(width, 2))[:, -width:]
    place = 0
    for row, choice in enumerate(choices):
        found.append([])
        for tokens in choice.continuations:
            logits = first[row][None]
            if rest is not None and len(tokens) > 1:
                logits = torch.cat([logits, rest[place, : len(tokens) - 1]])
            found[-1].append(_likelihood(logits, tokens))
            place += 1
    return found


def _likelihood(logits: "torch.Tensor", tokens: Sequence[int]) -> Likelihood:
    """Of tokens, from the logits before each of them."""
    import torch

    wanted = torch.tensor(tokens, device=logits.device)
    chances = logits.log_softmax(dim=-1).gather(1, wanted[:, None])
    return Likelihood(float(chances.sum()), bool((logits.argmax(dim=-1) == wanted).all()))


def losses(
    population: Population, texts: Sequence[tuple[str, tuple[int, ...]]], *, batch_size: int
) -> list[tuple[float, int]]:
    """For each member and tokens the sum of the loss in nats, and the number of tokens predicted: all but the first."""
    import torch
    from torch.nn.functional import cross_entropy

    found: list[tuple[float, int]] = [(0.0, 0)] * len(texts)
    members, lengths = [member for member, _ in texts], [len(ids) for _, ids in texts]
    rows_at_once = _rows_at_once(population, max(lengths, default=1), batch_size)
    for batch in population.batches(members, lengths, rows_at_once):
        ids, mask, positions = padded(population, [texts[row][1] for row in batch])
        with torch.inference_mode(), population.speaking([members[row] for row in batch]):
            logits = last_logits(population, ids, mask, positions, None, count=max(2, ids.shape[1]))[:, :-1]
            nats = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none") * mask[:, :-1]
        for row, total in zip(batch, nats.sum(dim=1).tolist(), strict=True):
            found[row] = (float(total), lengths[row] - 1)
    return found


def divergences(
    population: Population, asks: Sequence[tuple[str, tuple[int, ...], tuple[int, ...]]], *, batch_size: int
) -> list[tuple[float, float]]:
    """For each adapter, prompt and answer the divergence between base and adapter over the answer, in nats, summed over
    its tokens: KL(base || adapter), KL(adapter || base).
    """
    import torch

    found: list[tuple[float, float]] = [(0.0, 0.0)] * len(asks)
    lengths = [len(prompt) + len(answer) for _, prompt, answer in asks]
    rows_at_once = _rows_at_once(population, max((len(answer) for *_, answer in asks), default=1), batch_size)
    for batch in population.batches([member for member, *_ in asks], lengths, rows_at_once):
        rows = [(*asks[row][1], *asks[row][2][:-1]) for row in batch]
        width = max(2, *(len(asks[row][2]) for row in batch))
        ids, mask, positions = padded(population, rows)
        spoken: list[torch.Tensor] = []
        with torch.inference_mode():
            for members in ([BASE] * len(batch), [asks[row][0] for row in batch]):
                with population.speaking(members):
                    logits = last_logits(population, ids, mask, positions, None, count=width)
                spoken.append(logits.log_softmax(dim=-1))
            base, other = spoken
            forward = (base.exp() * (base - other)).sum(dim=-1)
            reverse = (other.exp() * (other - base)).sum(dim=-1)
        for place, row in enumerate(batch):
            count = len(asks[row][2])
            found[row] = (float(forward[place, -count:].sum()), float(reverse[place, -count:].sum()))
    return found


def _rows_at_once(population: Population, width: int, batch_size: int) -> int:
    return max(1, min(batch_size, LOGITS_AT_ONCE // (max(2, width) * _vocabulary(population))))


def _vocabulary(population: Population) -> int:
    return int(population.model.config.get_text_config().vocab_size)
