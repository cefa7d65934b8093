"""Answers of several members in one batch: each as it would be alone, and how each ends."""

import pytest
from populations import ADAPTERS, TINY, broken, counted, greedy, population_of

from speciate.models import decoding
from speciate.models.decoding import Ask, Sampling, Spoken, generate
from speciate.models.population import BASE, Population
from speciate.models.sampler import prompt_ids, stop_tokens, stop_words, written
from speciate.niches import skills

MEMBERS = (BASE, *ADAPTERS)
MOST = 10


@pytest.fixture(scope="module", params=["random_llama", "random_qwen3", "tiny"])
def population(request: pytest.FixtureRequest) -> Population:
    if request.param == "tiny":
        return population_of(TINY, loud=False)
    return population_of(request.getfixturevalue(request.param), loud=True)


@pytest.fixture(scope="module")
def asks(population: Population) -> list[Ask]:
    """Each member is asked the same eight questions, of many lengths."""
    prompts = [item.prompt for name in ("lookup", "sums", "sorting", "parity") for item in skills.sample(name, 2, "d")]
    ids = [tuple(prompt_ids(population.tokenizer, prompt)) for prompt in prompts]
    return [Ask(member, prompt, seed=100 + row) for row, prompt in enumerate(ids) for member in MEMBERS]


@pytest.fixture(scope="module")
def stops(population: Population) -> list[int]:
    return stop_tokens(population.model, population.tokenizer)


@pytest.fixture(scope="module")
def said(population: Population, asks: list[Ask], stops: list[int]) -> list[Spoken]:
    """Greedy answers, computed the plain way."""
    made = [greedy(population, ask.member, ask.ids, MOST, stops) for ask in asks]
    return [Spoken(tokens, "stop" if tokens[-1] in stops else "unfinished") for tokens in made]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_mixed_batch_answers_as_each_member_does_alone(
    population: Population, asks: list[Ask], stops: list[int], said: list[Spoken], batch_size: int
) -> None:
    told: list[int] = []
    found = generate(
        population, asks, Sampling(MOST), stops, batch_size=batch_size,
        on_answers=lambda answers: told.extend(row for row, _ in answers),
    )  # fmt: skip
    assert found == said
    assert sorted(told) == list(range(len(asks)))
    assert len({tuple(one.tokens) for one in found}) > 8, "answers that differ, so order shows"


def test_sampled_answers_do_not_depend_on_the_batch(population: Population, asks: list[Ask], stops: list[int]) -> None:
    sampling = Sampling(MOST, temperature=3.0, top_p=0.9)
    whole = generate(population, asks, sampling, stops, batch_size=64)
    assert generate(population, asks[::-1], sampling, stops, batch_size=7)[::-1] == whole
    assert generate(population, asks[5:6], sampling, stops, batch_size=1) == whole[5:6]
    others = [Ask(ask.member, ask.ids, ask.seed + 1) for ask in asks]
    assert generate(population, others, sampling, stops, batch_size=64) != whole


@pytest.mark.parametrize("narrow", [Sampling(MOST, 1.0, top_p=1e-9), Sampling(MOST, 1.0, top_k=1)])
def test_the_narrowest_sampling_is_greedy(
    population: Population, asks: list[Ask], stops: list[int], said: list[Spoken], narrow: Sampling
) -> None:
    assert generate(population, asks, narrow, stops, batch_size=64) == said


def test_sampling_draws_from_as_many_tokens_as_it_says(population: Population, asks: list[Ask]) -> None:
    once = [Ask(BASE, asks[0].ids, seed) for seed in range(200)]
    few = generate(population, once, Sampling(1, temperature=50.0, top_k=3), (), batch_size=200)
    many = generate(population, once, Sampling(1, temperature=50.0), (), batch_size=200)
    assert len({one.tokens[0] for one in few}) == 3
    assert len({one.tokens[0] for one in many}) > 50


def test_logits_that_are_no_numbers_end_only_their_own_rows(
    population: Population, asks: list[Ask], stops: list[int], said: list[Spoken]
) -> None:
    with broken(population, "bees"):
        found = generate(population, asks, Sampling(MOST), stops, batch_size=64)
    for ask, one, wanted in zip(asks, found, said, strict=True):
        assert one == (Spoken([], "nan") if ask.member == "bees" else wanted)


def test_a_model_that_never_stops_is_unfinished(population: Population, asks: list[Ask]) -> None:
    found = generate(population, asks, Sampling(MOST), (), batch_size=64)
    assert {one.end for one in found} == {"unfinished"}
    assert {len(one.tokens) for one in found} == {MOST}


def test_a_prompt_without_room_is_too_long(
    population: Population, asks: list[Ask], stops: list[int], said: list[Spoken]
) -> None:
    context = sorted({len(ask.ids) for ask in asks})[-2] + 2
    told: list[int] = []
    found = generate(
        population, asks, Sampling(MOST), stops, batch_size=64, context=context,
        on_answers=lambda answers: told.extend(row for row, _ in answers),
    )  # fmt: skip
    assert sorted(told) == list(range(len(asks)))
    assert sum(one.end == "too-long" for one in found) >= len(MEMBERS)
    for ask, one, wanted in zip(asks, found, said, strict=True):
        if len(ask.ids) >= context:
            assert one == Spoken([], "too-long")
        else:
            room = context - len(ask.ids)
            assert one.tokens == wanted.tokens[:room]
            assert one.end == ("stop" if one.tokens[-1] in stops else "unfinished")


def test_stop_words_end_an_answer(
    population: Population, asks: list[Ask], stops: list[int], said: list[Spoken]
) -> None:
    tokenizer = population.tokenizer
    row = max(range(len(said)), key=lambda row: len(said[row].tokens))
    text = written(tokenizer, said[row].tokens, stops, ())
    word = text[len(text) // 2 :][:3]
    stopped = stop_words(tokenizer, (word,))
    found = generate(population, asks, Sampling(MOST), stops, batch_size=64, stopped=stopped)
    for one, wanted in zip(found, said, strict=True):
        assert one.tokens == wanted.tokens[: len(one.tokens)]
        whole = written(tokenizer, wanted.tokens, stops, ())
        assert written(tokenizer, one.tokens, stops, (word,)) == whole.partition(word)[0]
        if word in whole:
            assert one.end == "stop"
    assert found[row].end == "stop"
    assert stop_words(tokenizer, ()) is None


def test_rows_leave_the_cache_when_they_end(population: Population, asks: list[Ask]) -> None:
    some = list(asks[: len(MEMBERS)]) * 3
    most = [Ask(ask.member, ask.ids[: 8 + 4 * place]) for place, ask in enumerate(some)]
    context = max(len(ask.ids) for ask in most) + 3
    with counted(population) as passes:
        found = generate(population, most, Sampling(40), (), batch_size=64, context=context)
    assert [len(one.tokens) for one in found] == [min(40, context - len(ask.ids)) for ask in most]
    rows = [rows for rows, _ in passes]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows)) > 3
    for ask, one in zip(most, found, strict=True):
        assert one.tokens == greedy(population, ask.member, ask.ids, len(one.tokens), ())


def test_what_all_prompts_begin_with_is_read_once(
    population: Population, asks: list[Ask], stops: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = tuple(range(10, 50))
    longer = [Ask(ask.member, (*opening, *ask.ids[1:31])) for ask in asks]
    with counted(population) as passes:
        found = generate(population, longer, Sampling(MOST), stops, batch_size=8)
    read = [(rows, tokens) for rows, tokens in passes if tokens > 1]
    assert read[0] == (len(MEMBERS), 40)
    assert max(tokens for _, tokens in read[1:]) <= 30
    monkeypatch.setattr(decoding, "SHARED_FROM", 1000)
    with counted(population) as passes:
        assert generate(population, longer, Sampling(MOST), stops, batch_size=8) == found
    assert max(tokens for _, tokens in passes) > 40
    same = [Ask(BASE, opening)] * 3
    assert len(set(map(str, generate(population, same, Sampling(MOST), stops, batch_size=2)))) == 1
