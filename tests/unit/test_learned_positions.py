"""Bases with a table of places (GPT-2, OPT): nothing asks for a place that the table does not have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speciate.evals.drift import item_drift, text_losses
from speciate.evals.memory import Memory
from speciate.evals.runner import Settings, evaluate
from speciate.evals.sources import Part
from speciate.models.base import Compute, context_length, load_model, load_tokenizer, locate
from speciate.models.decoding import Ask, Sampling, generate
from speciate.models.population import BASE, Population
from speciate.models.sampler import prompt_ids
from speciate.models.scoring import Choice, likelihoods
from speciate.niches.base import Item
from speciate.niches.skills import ExactMatch
from speciate.recipe.suite import SamplingOf
from speciate.remembered import Remembered

CONTEXT = 48


@pytest.fixture(scope="module", params=["gpt2", "opt"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, random_llama: Path) -> Path:
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM

    place = tmp_path_factory.mktemp(request.param)
    tokenizer: Any = AutoTokenizer.from_pretrained(random_llama)
    torch.manual_seed(0)
    known: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    if request.param == "gpt2":
        model: Any = GPT2LMHeadModel(GPT2Config(**known, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=2))
    else:
        small: dict[str, Any] = {"hidden_size": 32, "ffn_dim": 64, "word_embed_proj_dim": 32, "num_hidden_layers": 2}
        model = OPTForCausalLM(OPTConfig(**known, **small, num_attention_heads=2, max_position_embeddings=CONTEXT))
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def population(folder: Path) -> Population:
    from peft import LoraConfig, get_peft_model

    source = locate("a-base", folder)
    model: Any = load_model(source, Compute("cpu", "float32", "float32"))
    # GPT-2 has its matrices the other way round.
    settings: dict[str, Any] = {"fan_in_fan_out": model.config.model_type == "gpt2", "task_type": "CAUSAL_LM"}
    lora = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, **settings)
    adapted: Any = get_peft_model(model, lora, adapter_name="ants")
    return Population(adapted.eval(), load_tokenizer(source), {"ants": "ants"})


@pytest.fixture
def memory(tmp_path: Path, population: Population) -> Iterator[Memory]:
    kept = Remembered(tmp_path / "answers.sqlite")
    yield Memory({member: member for member in population.members}, kept)
    kept.close()


def prompt_of(population: Population, most: int) -> str:
    """The longest prompt of at most so many tokens."""
    texts = ["Copy:" + " a" * count for count in range(1, most)]
    return [text for text in texts if len(prompt_ids(population.tokenizer, text)) <= most][-1]


def test_the_context_is_found_by_whatever_key(folder: Path) -> None:
    assert context_length(locate("a-base", folder)) == CONTEXT


def test_a_row_at_its_last_place_does_not_stop_the_others(population: Population) -> None:
    long = tuple(prompt_ids(population.tokenizer, prompt_of(population, CONTEXT - 2)))
    asks = [Ask(BASE, long[:20] + long[-(CONTEXT - 22) :])] + [Ask(BASE, long[:4], seed) for seed in range(5)]
    mixed = generate(population, asks, Sampling(30), [], batch_size=6, context=CONTEXT)
    assert [len(one.tokens) for one in mixed] == [2] + [30] * 5
    alone = generate(population, asks[:1], Sampling(30), [], batch_size=1, context=CONTEXT)
    assert mixed[0].tokens == alone[0].tokens


def test_a_long_context_beside_a_long_continuation_has_places_enough(population: Population) -> None:
    full = tuple(range(4, 4 + CONTEXT - 3))
    choices = [
        Choice(BASE, full, ((5, 6, 7), (8, 9))),
        Choice(BASE, full[:5], (tuple(range(10, 40)), (7, 8))),
    ]
    together = likelihoods(population, choices, batch_size=8)
    for choice, found in zip(choices, together, strict=True):
        for tokens, one in zip(choice.continuations, found, strict=True):
            [[alone]] = likelihoods(population, [Choice(BASE, choice.context, (tokens,))], batch_size=1)
            assert one.nats == pytest.approx(alone.nats, abs=1e-4)


def test_what_does_not_fit_is_a_row_that_says_how_long_it_is(population: Population, memory: Memory) -> None:
    long, fits = "Copy:" + " a" * 100, prompt_of(population, CONTEXT - 8)
    tokens = len(prompt_ids(population.tokenizer, long))
    settings = Settings(batch_size=4, context=CONTEXT)
    items = [Item("f", long, "a", "long"), Item("f", fits, "a", "fits"), Item("f", "a b", "a", "short")]
    part = Part("general", items, ExactMatch, SamplingOf(max_new_tokens=40))
    done: list[int] = []
    rows = evaluate(population, [BASE, "ants"], part, memory, settings, done.append)
    assert sum(done) == 2 * 2 * len(items)
    for member in (BASE, "ants"):
        first, *others = rows[member]
        assert (first.reason, first.detail) == (
            "too-long", f"the prompt has {tokens} tokens, and the base reads {CONTEXT}",
        )  # fmt: skip
        assert {row.reason for row in others} <= {"unfinished", "wrong", "empty"}
    chosen = [Item("f", text, "a", text[:9], {}, ("a", "b b b")) for text in (long, fits)]
    done.clear()
    picked = evaluate(population, [BASE], Part("general", chosen, None, SamplingOf()), memory, settings, done.append)
    assert sum(done) == 2 * len(chosen)
    assert picked[BASE][0].reason == "too-long"
    assert f"the prompt has {tokens} tokens, its longest choice" in picked[BASE][0].detail
    assert picked[BASE][1].reason in ("ok", "wrong")
    drift = item_drift(population, ["ants"], [part], memory, settings)["ants"]
    assert {one.item for one in drift} <= {"fits", "short"}
    losses = text_losses(population, [BASE], [long, "a"], memory, settings)[BASE]
    assert [one.tokens for one in losses] == [CONTEXT - 1, losses[1].tokens]
