"""Many members on one base: who speaks in which row, and that nobody hears the others."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from populations import ADAPTERS, alone, broken, logits_of, population_of

from speciate.models.decoding import last_logits, new_cache, padded
from speciate.models.population import BASE, Population

ROWS = [tuple(range(4, 4 + length)) for length in (3, 9, 5, 7, 4, 8)]
SPEAKERS = [BASE, BASE, "ants", "bees", "bees", "cats"]


@pytest.fixture(scope="module", params=["random_llama", "random_qwen3"])
def population(request: pytest.FixtureRequest) -> Population:
    return population_of(request.getfixturevalue(request.param), loud=True)


def together(population: Population, members: list[str], rows: list[tuple[int, ...]]) -> Any:
    """Logits after the last token of each row, in one batch."""
    import torch

    with torch.inference_mode(), population.speaking(members):
        return last_logits(population, *padded(population, rows), new_cache(population)).double()


def test_a_mixed_batch_says_what_each_member_says_alone(population: Population) -> None:
    assert population.mixes
    assert population.members == (BASE, *ADAPTERS)
    found = together(population, SPEAKERS, ROWS)
    for row, (member, ids) in enumerate(zip(SPEAKERS, ROWS, strict=True)):
        wanted = logits_of(population, member, ids)[-1]
        assert found[row].sub(wanted).abs().max() < 1e-4 * wanted.abs().max(), member
        assert found[row].sub(logits_of(population, BASE, ids)[-1]).abs().max() > 0.01 or member == BASE


def test_members_that_come_back_after_others_have_their_rows(population: Population) -> None:
    found = together(population, [SPEAKERS[row] for row in (0, 2, 1, 3)], [ROWS[row] for row in (0, 2, 1, 3)])
    wanted = together(population, SPEAKERS[:4], ROWS[:4])
    assert found.sub(wanted[[0, 2, 1, 3]]).abs().max() < 1e-4


def test_nothing_is_left_on_the_model(population: Population) -> None:
    before = logits_of(population, "bees", ROWS[1])
    with alone(population, "bees") as model:
        together(population, SPEAKERS, ROWS)
        assert model.active_adapter == "bees"
    assert all(not layer._forward_hooks for layer in population.layers)
    assert logits_of(population, "bees", ROWS[1]).equal(before)


def test_an_adapter_that_is_broken_is_heard_in_its_own_rows_only(population: Population) -> None:
    whole = together(population, SPEAKERS, ROWS)
    with broken(population, "bees"):
        found = together(population, SPEAKERS, ROWS)
    assert found[[3, 4]].isnan().all()
    assert found[[0, 1, 2, 5]].equal(whole[[0, 1, 2, 5]])


def test_adapters_that_are_no_plain_lora_have_batches_of_their_own(random_llama: Path) -> None:
    population = population_of(random_llama, loud=True, use_dora=True)
    assert not population.mixes
    batches = population.batches(["cats", BASE, "ants", BASE, "cats"], [1, 2, 3, 4, 5], 10)
    assert batches == [[1, 3], [2], [0, 4]]
    with pytest.raises(ValueError, match="ants, cats"), population.speaking(["ants", "cats"]):
        pass
    found = together(population, ["cats", "cats"], ROWS[:2])
    assert found[1].sub(logits_of(population, "cats", ROWS[1])[-1]).abs().max() < 1e-3


def test_a_base_without_adapters_speaks(random_llama: Path) -> None:
    plain = population_of(random_llama, loud=False)
    population = Population(plain.model.get_base_model(), plain.tokenizer)
    assert population.members == (BASE,)
    assert population.batches([BASE] * 3, [1, 3, 2], 2) == [[1, 2], [0]]


def test_batches_are_of_like_length_longest_first_and_grouped(population: Population) -> None:
    members = [population.members[number % 4] for number in range(41)]
    lengths = [(number * 7) % 23 + 1 for number in range(41)]
    batches = population.batches(members, lengths, 8)
    assert sorted(row for batch in batches for row in batch) == list(range(41))
    assert [len(batch) for batch in batches] == [8] * 5 + [1]
    for before, after in pairwise(batches):
        assert min(lengths[row] for row in before) >= max(lengths[row] for row in after)
    for batch in batches:
        places = [population.members.index(members[row]) for row in batch]
        assert places == sorted(places)


def test_heavy_rows_fill_a_batch_sooner(population: Population) -> None:
    members = [BASE] * 6
    assert population.batches(members, [6, 5, 4, 3, 2, 1], 4, [1, 3, 1, 9, 2, 2]) == [[0, 1], [2], [3], [4, 5]]
