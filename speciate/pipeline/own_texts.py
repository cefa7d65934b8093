"""Texts that a base says by itself, from its beginning: what its own words are, for a guard to hold.

Half of them are conversations where the base has a chat template; a base that is no chat model goes on as it likes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from speciate.models.decoding import Ask, Sampling, generate, row_seed
from speciate.models.population import BASE, Population
from speciate.models.sampler import continuation_ids, stop_tokens
from speciate.storage import read_jsonl, write_jsonl

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Tokens = tuple[int, ...]

AT_ONCE = 64
"""Texts that are said together."""
QUESTION = "a question of nobody"
"""Stands for the user's words in a chat template."""


def texts_of_base(population: Population, count: int, seed: int, length: int) -> list[list[int]]:
    """The tokens of `count` texts, drawn as the base speaks, different for each seed; each ends at an end token or with
    `length` tokens. With a chat template every other one is a question after the template's beginning, at most half as
    long, with the answer to it; the rest, or all, begin where a document does.
    """
    tokenizer = population.tokenizer
    stops = stop_tokens(population.model, tokenizer)
    before, after = around_question(tokenizer)
    texts: list[Tokens] = [before if before and number % 2 else beginning(tokenizer) for number in range(count)]
    chats = [number for number in range(count) if before and number % 2]
    alone = [number for number in range(count) if not before or not number % 2]
    for number, text in zip(alone, gone_on(population, texts, alone, stops, (seed, 0), length), strict=True):
        texts[number] = text
    answered: list[int] = []
    for number, text in zip(chats, gone_on(population, texts, chats, stops, (seed, 1), length // 2), strict=True):
        ended = len(text) > len(before) and text[-1] in stops
        texts[number] = (*text[:-1], *after)[:length] if ended else text
        answered += [number] if ended else []
    for number, text in zip(answered, gone_on(population, texts, answered, stops, (seed, 2), length), strict=True):
        texts[number] = text
    return [list(text) for text in texts]


def kept_texts(path: Path, population: Population, count: int, seed: int, length: int) -> list[list[int]]:
    """At least `count` of them, from disk where they are there. The first texts are the same however many there are."""
    if not path.exists():
        texts = texts_of_base(population, count, seed, length)
        write_jsonl(path, [{"tokens": ids} for ids in texts])
    return [row["tokens"] for row in read_jsonl(path)]


def gone_on(
    population: Population,
    texts: Sequence[Tokens],
    numbers: Sequence[int],
    stops: Sequence[int],
    seeds: Tokens,
    length: int,
) -> list[Tokens]:
    """The texts with these numbers, and what the base says after each, until `length` tokens of both."""
    asks = [Ask(BASE, texts[number], row_seed(*seeds, number)) for number in numbers]
    sampling = Sampling(max(1, length), temperature=1.0)
    spoken = generate(population, asks, sampling, stops, batch_size=AT_ONCE, context=length)
    return [(*ask.ids, *one.tokens) for ask, one in zip(asks, spoken, strict=True)]


def beginning(tokenizer: "PreTrainedTokenizerBase") -> Tokens:
    """What a document follows on: the beginning token, else the end of the document before it."""
    first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return (cast(int, first),)


def around_question(tokenizer: "PreTrainedTokenizerBase") -> tuple[Tokens, Tokens]:
    """What a chat template puts before a question, and between it and the answer; nothing where there is none."""
    if tokenizer.chat_template is None:
        return (), ()
    asked = [{"role": "user", "content": QUESTION}]
    rendered = str(tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))
    before, found, after = rendered.partition(QUESTION)
    return (continuation_ids(tokenizer, before), continuation_ids(tokenizer, after)) if found else ((), ())
