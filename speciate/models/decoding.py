"""Answers, token by token: batches of like length, padded on the left, with a KV cache that rows leave when they end.

Everything about an answer follows from its own prompt and seed, never from the rows beside it. A row whose logits are
no numbers ends there and says so. Knows nothing of text: stop words are asked of a function.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from speciate.errors import InputError
from speciate.models.population import Population

if TYPE_CHECKING:
    import torch

SHRINK_BELOW = 0.75
"""Rows leave the KV cache once this share or less of them is still speaking: leaving copies what stays."""
LOOK_EVERY = 4
"""Tokens between two looks for stop words."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn."""

    max_new_tokens: int
    temperature: float = 0.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Nucleus sampling (Holtzman et al. 2020): the fewest tokens that have this probability together."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer, beside the end token; not part of it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt for one member of a population."""

    member: str
    ids: tuple[int, ...]
    seed: int = 0
    """Of what is random in the answer."""


@dataclass(slots=True)
class Spoken:
    """The tokens of one answer, and how it ended."""

    tokens: list[int] = field(default_factory=list[int])
    end: str = "unfinished"
    """stop, unfinished (the longest length was reached), nan, or too-long (the prompt leaves no room)."""


def generate(
    population: Population,
    asks: Sequence[Ask],
    sampling: Sampling,
    stops: Sequence[int],
    *,
    batch_size: int,
    context: int | None = None,
    stopped: Callable[[Sequence[int]], bool] | None = None,
    on_answers: Callable[[Sequence[tuple[int, Spoken]]], None] = lambda _: None,
) -> list[Spoken]:
    """An answer to each ask, in order. `stops` are the tokens that end one, `context` the longest sequence of the
    model, `stopped` says whether tokens hold a stop word. `on_answers` is given each batch's answers as they come.
    """
    answers = [Spoken() for _ in asks]
    fitting: list[int] = []
    for row, ask in enumerate(asks):
        if context is not None and len(ask.ids) >= context:
            answers[row].end = "too-long"
        else:
            fitting.append(row)
    members, lengths = [asks[row].member for row in fitting], [len(asks[row].ids) for row in fitting]
    if left := [(row, answers[row]) for row in range(len(asks)) if answers[row].end == "too-long"]:
        on_answers(left)
    for batch in population.batches(members, lengths, batch_size):
        rows = [fitting[place] for place in batch]
        _batch(
            population, [asks[row] for row in rows], [answers[row] for row in rows], sampling, stops, context, stopped
        )
        on_answers([(row, answers[row]) for row in rows])
    return answers


def _batch(
    population: Population,
    asks: Sequence[Ask],
    answers: Sequence[Spoken],
    sampling: Sampling,
    stops: Sequence[int],
    context: int | None,
    stopped: Callable[[Sequence[int]], bool] | None,
) -> None:
    import torch

    ids, mask, positions = padded(population, [ask.ids for ask in asks])
    limits = [min(sampling.max_new_tokens, (context or 2**62) - len(ask.ids)) for ask in asks]
    random = [np.random.default_rng(ask.seed) for ask in asks] if sampling.temperature > 0 else []
    cache = new_cache(population)
    live = list(range(len(asks)))
    speaking = [True] * len(asks)
    ends = set(stops)
    with torch.inference_mode(), population.speaking([ask.member for ask in asks]) as speakers:
        while True:
            logits = last_logits(population, ids, mask, positions, cache)
            peaks, likeliest = logits.max(dim=-1)
            sound = peaks.isfinite().tolist()
            chosen = _drawn(logits, sampling, [random[row].random() for row in live]) if random else likeliest.tolist()
            for row, token, fine in zip(live, chosen, sound, strict=True):
                if not speaking[row]:
                    continue
                answer = answers[row]
                if not fine:
                    answer.end = "nan"
                else:
                    answer.tokens.append(token)
                    if token in ends or (stopped and len(answer.tokens) % LOOK_EVERY == 0 and stopped(answer.tokens)):
                        answer.end = "stop"
                    elif len(answer.tokens) < limits[row]:
                        continue
                    elif stopped and stopped(answer.tokens):
                        answer.end = "stop"
                speaking[row] = False
            kept = [place for place, row in enumerate(live) if speaking[row]]
            if not kept:
                return
            if len(kept) <= SHRINK_BELOW * len(live):
                chosen_rows = torch.tensor(kept, device=mask.device)
                cache.batch_select_indices(chosen_rows)
                mask, positions = mask[chosen_rows], positions[chosen_rows]
                chosen = [chosen[place] for place in kept]
                live = [live[place] for place in kept]
                speakers.keep([asks[row].member for row in live])
            ids = torch.tensor(chosen, device=mask.device)[:, None]
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
            positions = positions[:, -1:] + 1


def padded(population: Population, rows: Sequence[Sequence[int]]) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Token ids padded on the left, which of them count, and their positions: three of rows x longest."""
    import torch

    longest = max(map(len, rows))
    pad: Any = population.tokenizer.pad_token_id
    device = population.model.device
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0)


def new_cache(population: Population) -> Any:
    """An empty KV cache for the model. Raises InputError for a model that keeps a state instead of one."""
    from transformers import DynamicCache

    if getattr(population.model, "_is_stateful", False):
        kind = population.model.config.model_type
        raise InputError(f"models of type {kind!r} keep a state, not a KV cache; they cannot be evaluated yet")
    return DynamicCache(config=population.model.config)


def last_logits(
    population: Population,
    ids: "torch.Tensor",
    mask: "torch.Tensor",
    positions: "torch.Tensor",
    cache: Any,
    count: int = 1,
) -> "torch.Tensor":
    """Logits in float32 after each row's last token (rows x vocabulary), or after its last `count` (rows x count x
    vocabulary).
    """
    model: Any = population.model
    given: dict[str, Any] = {"position_ids": positions, "logits_to_keep": count}
    output = model(
        input_ids=ids,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=cache is not None,
        **{name: value for name, value in given.items() if name in population.accepted},
    )
    logits = output.logits[:, -count:].float()
    return logits[:, -1] if count == 1 else logits


def _drawn(logits: "torch.Tensor", sampling: Sampling, chances: Sequence[float]) -> list[int]:
    """A token for each row: that at which the probabilities of the likeliest tokens, added up, pass its chance."""
    import torch

    ordered, tokens = (logits / sampling.temperature).sort(dim=-1, descending=True)
    sums = ordered.double().softmax(dim=-1).cumsum(dim=-1)
    total = sums[:, -1:]
    if sampling.top_p < 1:
        total = sums.gather(1, (sums < sampling.top_p).sum(dim=-1, keepdim=True).clamp(max=sums.shape[1] - 1))
    wanted = torch.tensor(chances, dtype=sums.dtype, device=sums.device)[:, None] * total
    places = (sums <= wanted).sum(dim=-1, keepdim=True).clamp(max=sums.shape[1] - 1)
    return tokens.gather(1, places)[:, 0].tolist()


def row_seed(*parts: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) % math.floor(2**63)
