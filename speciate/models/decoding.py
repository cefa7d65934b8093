"""Answers, token by token: batches of like length, padded on the left, with a KV cache that rows leave when they end.

Everything about an answer follows from its own prompt and seed, never from the rows beside it. A row whose logits are
no numbers ends there and says so. What all prompts begin with is read once. Knows nothing of text: stop words are asked
of a function.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
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
SHARED_FROM = 16
"""Tokens that all prompts begin with, from which on they are read once for all; fewer are not worth a cache."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn."""

    max_new_tokens: int
    temperature: float = 0.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Nucleus sampling (Holtzman et al. 2020): the fewest tokens that have this probability together."""
    top_k: int = 0
    """As many of the likeliest tokens; 0 takes all."""
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
    opening = open_with(population, members, [asks[row].ids for row in fitting])
    for batch in population.batches(members, lengths, batch_size):
        rows = [fitting[place] for place in batch]
        spoken = [answers[row] for row in rows]
        _batch(population, opening, [asks[row] for row in rows], spoken, sampling, stops, context, stopped)
        on_answers([(row, answers[row]) for row in rows])
    return answers


def _batch(
    population: Population,
    opening: "Opening",
    asks: Sequence[Ask],
    answers: Sequence[Spoken],
    sampling: Sampling,
    stops: Sequence[int],
    context: int | None,
    stopped: Callable[[Sequence[int]], bool] | None,
) -> None:
    import torch

    ids, mask, positions = padded(population, [ask.ids for ask in asks], opening.length)
    limits = [min(sampling.max_new_tokens, (context or 2**62) - len(ask.ids)) for ask in asks]
    random = [np.random.default_rng(ask.seed) for ask in asks] if sampling.temperature > 0 else []
    cache = opening.cache([ask.member for ask in asks])
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
                keep_rows(cache, chosen_rows)
                mask, positions = mask[chosen_rows], positions[chosen_rows]
                chosen = [chosen[place] for place in kept]
                live = [live[place] for place in kept]
                speakers.keep([asks[row].member for row in live])
            ids = torch.tensor(chosen, device=mask.device)[:, None]
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
            # A row that has its answer and is still there may have come to the model's last place.
            positions = (positions[:, -1:] + 1).clamp(max=(context or 2**62) - 1)


class Opening:
    """What all prompts begin with, as each member has read it: the cache from which their own rows go on."""

    def __init__(self, population: Population, length: int, read: Mapping[str, tuple[Any, int]]) -> None:
        """`read` gives for each member a cache and its row there."""
        self.population = population
        self.length = length
        """Tokens."""
        self.read = read

    def cache(self, members: Sequence[str]) -> Any:
        """A KV cache with a row for each member, for one batch to go on from."""
        import torch

        if not self.length:
            return new_cache(self.population)
        cache = copy.deepcopy(self.read[members[0]][0])
        rows = [self.read[member][1] for member in members]
        keep_rows(cache, torch.tensor(rows, device=self.population.model.device))
        return cache


def open_with(population: Population, members: Sequence[str], prompts: Sequence[tuple[int, ...]]) -> Opening:
    """Reads once for each member what all prompts begin with, where that is long and there are several for each."""
    import torch

    # Of sorted sequences the first and the last differ the soonest. A row needs a token of its own to go on with.
    first, last = min(prompts, default=()), max(prompts, default=())
    pairs = zip(first, last, strict=False)
    length = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(first), len(last)))
    length = min(length, min(map(len, prompts), default=0) - 1)
    named = [member for member in population.members if member in set(members)]
    if length < SHARED_FROM or len(prompts) < 2 * len(named):
        return Opening(population, 0, {})
    read: dict[str, tuple[Any, int]] = {}
    for together in [named] if population.mixes else [[member] for member in named]:
        ids, mask, positions = padded(population, [first[:length]] * len(together))
        cache = new_cache(population)
        with torch.inference_mode(), population.speaking(together):
            last_logits(population, ids, mask, positions, cache)
        read |= {member: (cache, row) for row, member in enumerate(together)}
    return Opening(population, length, read)


def padded(
    population: Population, rows: Sequence[Sequence[int]], read: int = 0
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Token ids after the first `read` ones, which are in a cache, padded on the left; which of all tokens count; and
    the positions of those that are left.
    """
    import torch

    longest = max(map(len, rows))
    pad: Any = population.tokenizer.pad_token_id
    device = population.model.device
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row[read:]) for row in rows], device=device)
    counted = [[1] * read + [0] * (longest - len(row)) + [1] * (len(row) - read) for row in rows]
    mask = torch.tensor(counted, device=device)
    return ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0)[:, read:]


def new_cache(population: Population) -> Any:
    """An empty KV cache for the model. Raises InputError for a model that keeps a state instead of one."""
    from transformers import DynamicCache

    if getattr(population.model, "_is_stateful", False):
        kind = population.model.config.model_type
        raise InputError(f"models of type {kind!r} keep a state, not a KV cache; they cannot be evaluated yet")
    return DynamicCache(config=population.model.config)


def keep_rows(cache: Any, rows: "torch.Tensor") -> None:
    """Leave these rows in a cache, in this order; one may be there several times."""
    from transformers.cache_utils import DynamicLayer

    for layer in cache.layers:
        if type(layer).batch_select_indices is DynamicLayer.batch_select_indices and layer.is_initialized:
            # A quarter of the time of transformers' own, which indexes number by number.
            layer.keys, layer.values = (kept.index_select(0, rows) for kept in (layer.keys, layer.values))
        else:
            layer.batch_select_indices(rows)


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
        # Older models of transformers call it by its former name.
        **{"cache" if "cache" in population.accepted else "past_key_values": cache},
        use_cache=cache is not None,
        **{name: value for name, value in given.items() if name in population.accepted},
    )
    logits = output.logits[:, -count:].float()
    return logits[:, -1] if count == 1 else logits


def _drawn(logits: "torch.Tensor", sampling: Sampling, chances: Sequence[float]) -> list[int]:
    """A token for each row: that at which the probabilities, added up, pass its chance.

    They are added up in the order of the vocabulary: in the order of their size, tokens that are nearly as likely would
    change places with the last bits of the logits, and those depend on the rows beside.
    """
    import torch

    scaled = logits / sampling.temperature
    if 0 < sampling.top_k < scaled.shape[1]:
        scaled = scaled.where(scaled >= scaled.topk(sampling.top_k).values[:, -1:], -math.inf)
    likely = scaled.double().softmax(dim=-1)
    if sampling.top_p < 1:
        ordered, tokens = likely.sort(dim=-1, descending=True)
        kept = ordered.cumsum(dim=-1) - ordered < sampling.top_p
        likely = likely.where(torch.zeros_like(kept).scatter(1, tokens, kept), 0)
    sums = likely.cumsum(dim=-1)
    wanted = torch.tensor(chances, dtype=sums.dtype, device=sums.device)[:, None].clamp(max=1 - 1e-12) * sums[:, -1:]
    return (sums <= wanted).sum(dim=-1).clamp(max=sums.shape[1] - 1).tolist()


def row_seed(*parts: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) % math.floor(2**63)
