"""Answers and losses: a batch says what each prompt says alone."""

import math
from pathlib import Path
from typing import Any

import pytest
from speaking import Answer, answer, losses

from speciate.models.base import Compute, load_model, load_tokenizer, locate
from speciate.models.sampler import prompt_ids, stop_tokens, stop_words, written
from speciate.niches import skills

FLOAT32 = Compute("cpu", "float32", "float32")
PROMPTS = [
    item.prompt for name in ("lookup", "sums", "sorting", "parity") for item in skills.sample(name, 3, "sampler")
]
TEXTS = ["Ada went to the barn.", "x", "Ben lived near the river and had a small, old kite that nobody wanted."]


@pytest.fixture(scope="module", params=["random_llama", "random_qwen3"])
def model_and_tokenizer(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A random model whose layers are loud: as it comes, it only repeats the last token."""
    import torch

    source = locate("a-base", request.getfixturevalue(request.param))
    model = load_model(source, FLOAT32)
    with torch.no_grad():
        for parameter in model.get_submodule("model.layers").parameters():
            if parameter.ndim == 2:
                parameter.mul_(10)
    return model, load_tokenizer(source)


def greedy(model: Any, tokenizer: Any, prompt: str, most: int) -> list[int]:
    """The most likely tokens, one at a time, each from the whole text before it."""
    import torch

    ids = prompt_ids(tokenizer, prompt)
    made: list[int] = []
    while len(made) < most and not set(made) & set(stop_tokens(model, tokenizer)):
        with torch.inference_mode():
            made.append(int(model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax()))
    return made


def by_hand(model: Any, tokenizer: Any, prompts: list[str], most: int) -> list[Answer]:
    """Answers without a batch, a cache or padding."""
    stops = stop_tokens(model, tokenizer)
    made = [greedy(model, tokenizer, prompt, most) for prompt in prompts]
    texts = [tokenizer.decode([token for token in ids if token not in stops], skip_special_tokens=True) for ids in made]
    return [Answer(str(text), len(ids)) for text, ids in zip(texts, made, strict=True)]


def test_a_batch_answers_as_each_prompt_does_alone(model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    assert len({len(prompt_ids(tokenizer, prompt)) for prompt in PROMPTS}) > 3, "prompts of many lengths, so padding"
    alone = by_hand(model, tokenizer, PROMPTS, 12)
    assert len({found.text for found in alone}) > 8, "answers that differ, so order shows"
    for size in (1, 5, 100):
        assert answer(model, tokenizer, PROMPTS, max_new_tokens=12, batch_size=size) == alone
    reverse = answer(model, tokenizer, PROMPTS[::-1], max_new_tokens=12, batch_size=5)
    assert reverse[::-1] == alone


def test_an_answer_ends_at_the_stop_token(model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    end = model.generation_config.eos_token_id
    third = greedy(model, tokenizer, PROMPTS[0], 12)[2]
    try:
        model.generation_config.eos_token_id = [end, third]
        assert stop_tokens(model, tokenizer) == sorted({end, third})
        found = answer(model, tokenizer, PROMPTS, max_new_tokens=12, batch_size=5)
        assert found == by_hand(model, tokenizer, PROMPTS, 12)
        assert found[0].tokens <= 3
        assert max(one.tokens for one in found) == 12, "others in its batch go on"
    finally:
        model.generation_config.eos_token_id = end


def test_the_limit_is_a_limit(model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    for most in (1, 3):
        found = answer(model, tokenizer, PROMPTS[:4], max_new_tokens=most, batch_size=4)
        assert all(1 <= one.tokens <= most for one in found)
        assert found == by_hand(model, tokenizer, PROMPTS[:4], most)


def test_losses_are_those_computed_by_hand(model_and_tokenizer: tuple[Any, Any]) -> None:
    import torch

    model, tokenizer = model_and_tokenizer
    wanted: list[tuple[Any, int]] = []
    for text in TEXTS:
        ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.inference_mode():
            chances = model(input_ids=torch.tensor([ids])).logits[0].double().softmax(-1)
        nats = -sum(math.log(chances[place, token]) for place, token in enumerate(ids[1:]))
        wanted.append((pytest.approx(nats, rel=1e-5), len(ids) - 1))
    for size in (1, 2, 10):
        assert losses(model, tokenizer, TEXTS, batch_size=size) == wanted


def test_stop_tokens_without_a_model_are_the_tokenizers(random_llama: Path) -> None:
    tokenizer = load_tokenizer(locate("a-base", random_llama))
    assert stop_tokens(None, tokenizer) == [1]


def test_stop_words_end_an_answer_and_are_no_part_of_it(random_llama: Path) -> None:
    tokenizer = load_tokenizer(locate("a-base", random_llama))
    ids = list(tokenizer("Sort: 3 1", add_special_tokens=False)["input_ids"])
    stopped = stop_words(tokenizer, (" 3", "never"))
    assert stopped is not None
    assert stopped(ids)
    assert not stopped(ids[:1])
    assert written(tokenizer, ids, [], (" 1", " 3")) == "Sort:"
    assert stop_words(tokenizer, ()) is None
