"""What a model gives to text that stands: log-likelihood of continuations, loss of documents, and divergence from the
base. Contexts that several continuations share are read once, and so is what all contexts begin with. Knows nothing of
right and wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speciate.models.decoding import Opening, keep_rows, last_logits, open_with, padded
from speciate.models.population import BASE, Population

if TYPE_CHECKING:
    import torch

LOGITS_AT_ONCE = 2**26
"""Numbers in one batch of logits, a quarter of a gigabyte in float32."""

SHELF = 8
"""Batches among which rows are moved, so that long continuations come together."""


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
    """The likelihoods of each choice's continuations, in order; `batch_size` counts rows that go through the base."""
    found: list[list[Likelihood]] = [[] for _ in choices]
    members = [choice.member for choice in choices]
    # A continuation of one token needs no row of its own: what it is likely to be follows from the context.
    weights = [max(1, sum(len(tokens) > 1 for tokens in choice.continuations)) for choice in choices]
    width = max((len(tokens) for choice in choices for tokens in choice.continuations), default=1)
    rows_at_once = _rows_at_once(population, width, batch_size)
    opening = open_with(population, members, [choice.context for choice in choices])
    for batch in population.batches(members, _places(choices, weights, rows_at_once), rows_at_once, weights):
        rows = [choices[row] for row in batch]
        single = all(len(choice.continuations) == 1 for choice in rows)
        measured = (_one_each if single else _several)(population, opening, rows)
        for row, likelihood in zip(batch, measured, strict=True):
            found[row] = likelihood
        on_choices([(row, found[row]) for row in batch])
    return found


def _places(choices: Sequence[Choice], weights: Sequence[int], rows_at_once: int) -> list[int]:
    """Numbers that order the choices for batches in which little is padded: by the length of the contexts, and among
    those of like length by the longest of the continuations.
    """
    longest = [max(map(len, choice.continuations)) for choice in choices]
    order = sorted(range(len(choices)), key=lambda row: (-len(choices[row].context) - longest[row], row))
    weight, shelves = 0, [0] * len(choices)
    for row in order:
        shelves[row] = weight // (SHELF * rows_at_once)
        weight += weights[row]
    order.sort(key=lambda row: (shelves[row], -longest[row]))
    places = [0] * len(choices)
    for place, row in enumerate(order):
        places[row] = len(choices) - place
    return places


def _one_each(population: Population, opening: Opening, choices: Sequence[Choice]) -> list[list[Likelihood]]:
    """Of choices with one continuation: nothing is shared, so context and continuation are read in one pass."""
    import torch

    members = [choice.member for choice in choices]
    given = [choice.continuations[0] for choice in choices]
    width = max(2, *map(len, given))
    rows = [(*choice.context, *tokens[:-1]) for choice, tokens in zip(choices, given, strict=True)]
    with torch.inference_mode(), population.speaking(members):
        ids, mask, positions = padded(population, rows, opening.length)
        cache = opening.cache(members) if opening.length else None
        logits = last_logits(population, ids, mask, positions, cache, count=width)
        width = logits.shape[1]
        wanted = torch.tensor([[0] * (width - len(tokens)) + list(tokens) for tokens in given], device=ids.device)
        counts = torch.tensor([[False] * (width - len(tokens)) + [True] * len(tokens) for tokens in given])
        nats, greedy = _measured(logits, wanted, counts.to(ids.device))
    return [[Likelihood(*measured)] for measured in zip(nats.tolist(), greedy.tolist(), strict=True)]


def _several(population: Population, opening: Opening, choices: Sequence[Choice]) -> list[list[Likelihood]]:
    """Of any choices: the contexts are read first, then what is left of each continuation after its first token."""
    import torch

    members = [choice.member for choice in choices]
    owners = [row for row, choice in enumerate(choices) for _ in choice.continuations]
    given = [tokens for choice in choices for tokens in choice.continuations]
    longer = [place for place, tokens in enumerate(given) if len(tokens) > 1]
    with torch.inference_mode(), population.speaking(members) as speakers:
        ids, mask, positions = padded(population, [choice.context for choice in choices], opening.length)
        cache = opening.cache(members) if opening.length or longer else None
        logits = last_logits(population, ids, mask, positions, cache)
        device = ids.device
        first, rows = (torch.tensor(numbers, device=device) for numbers in ([tokens[0] for tokens in given], owners))
        nats = (logits[rows, first] - logits.logsumexp(dim=-1)[rows]).double()
        greedy = logits.argmax(dim=-1)[rows] == first
        if cache is not None and longer:
            rows = rows[longer]
            keep_rows(cache, rows)
            speakers.keep([members[owners[place]] for place in longer])
            pad: Any = population.tokenizer.pad_token_id
            width = max(len(given[place]) for place in longer) - 1
            # What is padded is on the right here, and each token sees only what is on its left.
            said = [[*given[place], *[pad] * (width + 1 - len(given[place]))] for place in longer]
            tokens = torch.tensor(said, device=device)
            left = torch.tensor([[len(given[place]) - 1] for place in longer], device=device)
            steps = torch.arange(width, device=device)
            seen = torch.cat([mask[rows], (steps < left).to(mask.dtype)], dim=1)
            # What is padded has no place of its own: the model may have none left.
            places = positions[rows, -1:] + 1 + steps.minimum(left - 1)
            rest = last_logits(population, tokens[:, :-1], seen, places, cache, count=max(width, 2))[:, -width:]
            more, still = _measured(rest, tokens[:, 1:], steps < left)
            nats[longer] += more
            greedy[longer] &= still
    measured = iter(zip(nats.tolist(), greedy.tolist(), strict=True))
    return [[Likelihood(*next(measured)) for _ in choice.continuations] for choice in choices]


def _measured(
    logits: "torch.Tensor", wanted: "torch.Tensor", counts: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Of each row the log-likelihood of the wanted tokens that count, and whether each of them is the likeliest."""
    chances = logits.gather(2, wanted[:, :, None])[:, :, 0] - logits.logsumexp(dim=-1)
    nats = chances.double().where(counts, 0).sum(dim=1)
    return nats, ((logits.argmax(dim=-1) == wanted) | ~counts).all(dim=1)


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
            forward = (base.exp() * (base - other)).sum(dim=-1).clamp(min=0)
            reverse = (other.exp() * (other - base)).sum(dim=-1).clamp(min=0)
        for place, row in enumerate(batch):
            count = len(asks[row][2])
            found[row] = (float(forward[place, -count:].sum()), float(reverse[place, -count:].sum()))
    return found


def _rows_at_once(population: Population, width: int, batch_size: int) -> int:
    return max(1, min(batch_size, LOGITS_AT_ONCE // (max(2, width) * _vocabulary(population))))


def _vocabulary(population: Population) -> int:
    return int(population.model.config.get_text_config().vocab_size)
