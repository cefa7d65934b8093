"""Answers and losses of a model on plain prompts and texts, for tests that ask nothing else of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from speciate.models import scoring
from speciate.models.decoding import Ask, Sampling, generate
from speciate.models.population import BASE, Population
from speciate.models.sampler import document_ids, prompt_ids, stop_tokens, written


@dataclass(frozen=True)
class Answer:
    text: str
    tokens: int


def answer(model: Any, tokenizer: Any, prompts: Sequence[str], *, max_new_tokens: int, batch_size: int) -> list[Answer]:
    """Greedy answers of the model as it is, whatever is attached to it."""
    population = Population(model, tokenizer)
    stops = stop_tokens(model, tokenizer)
    asks = [Ask(BASE, tuple(prompt_ids(tokenizer, prompt))) for prompt in prompts]
    spoken = generate(population, asks, Sampling(max_new_tokens), stops, batch_size=batch_size)
    return [Answer(written(tokenizer, one.tokens, stops, ()), len(one.tokens)) for one in spoken]


def losses(model: Any, tokenizer: Any, texts: Sequence[str], *, batch_size: int) -> list[tuple[float, int]]:
    """The loss in nats and the tokens of each text."""
    asked = [(BASE, document_ids(tokenizer, text)) for text in texts]
    return scoring.losses(Population(model, tokenizer), asked, batch_size=batch_size)
