"""Likelihoods, losses and divergences of several members in one batch, against the plain way."""

from random import Random

import pytest
from populations import ADAPTERS, TINY, broken, counted, logits_of, population_of

from speciate.models import decoding
from speciate.models.population import BASE, Population
from speciate.models.scoring import Choice, Likelihood, divergences, likelihoods, losses

MEMBERS = (BASE, *ADAPTERS)


@pytest.fixture(scope="module", params=["random_llama", "random_qwen3", "tiny"])
def population(request: pytest.FixtureRequest) -> Population:
    if request.param == "tiny":
        return population_of(TINY, loud=False)
    return population_of(request.getfixturevalue(request.param), loud=True)


def tokens(rng: Random, length: int) -> tuple[int, ...]:
    return tuple(rng.randrange(4, 400) for _ in range(length))


def choices(shapes: list[tuple[int, list[int]]], opening: int = 0) -> list[Choice]:
    """A choice for each member and shape: the length of a context and of its continuations."""
    rng = Random(7)
    start = tokens(rng, opening)
    drawn = [
        ((*start, *tokens(rng, length)), tuple(tokens(rng, one) for one in continuations))
        for length, continuations in shapes
    ]
    return [Choice(member, *one) for one in drawn for member in MEMBERS]


SHAPES = {
    "letters": [(length, [1, 1, 1, 1]) for length in (5, 9, 30)],
    "sentences": [(3, [4, 9, 1]), (12, [2, 2]), (7, [1, 1]), (20, [6]), (1, [3, 5, 8, 2, 1])],
    "one each": [(4, [6]), (11, [1]), (2, [3]), (9, [9])],
}


def by_hand(population: Population, choice: Choice) -> list[Likelihood]:
    found: list[Likelihood] = []
    for continuation in choice.continuations:
        chances = logits_of(population, choice.member, (*choice.context, *continuation[:-1])).log_softmax(-1)
        chances = chances[len(choice.context) - 1 :]
        nats = sum(float(chances[place, token]) for place, token in enumerate(continuation))
        greedy = all(int(chances[place].argmax()) == token for place, token in enumerate(continuation))
        found.append(Likelihood(pytest.approx(nats, rel=1e-4, abs=1e-3), greedy))  # pyright: ignore[reportArgumentType]
    return found


@pytest.mark.parametrize("opening", [0, 25])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_likelihoods_are_those_computed_by_hand(population: Population, shape: str, opening: int) -> None:
    asked = choices(SHAPES[shape], opening)
    wanted = [by_hand(population, choice) for choice in asked]
    for batch_size in (1, 6, 64):
        told: list[int] = []
        found = likelihoods(
            population, asked, batch_size=batch_size,
            on_choices=lambda answers, told=told: told.extend(row for row, _ in answers),
        )  # fmt: skip
        assert found == wanted
        assert sorted(told) == list(range(len(asked)))
    assert likelihoods(population, [], batch_size=4) == []


def test_what_is_likeliest_is_greedy(population: Population) -> None:
    context = tokens(Random(1), 12)
    for member in MEMBERS:
        said: list[int] = []
        for _ in range(3):
            said.append(int(logits_of(population, member, (*context, *said))[-1].argmax()))
        other = (said[0], said[1], said[2] + 1)
        asked = Choice(member, context, (tuple(said), other, (said[0],), (said[0] + 1,)))
        [found] = likelihoods(population, [asked], batch_size=4)
        assert [one.greedy for one in found] == [True, False, True, False]
        [[alone]] = likelihoods(population, [Choice(member, context, (tuple(said),))], batch_size=4)
        assert alone.greedy
        assert alone.nats == pytest.approx(found[0].nats, abs=1e-3)


@pytest.mark.parametrize("shape", list(SHAPES))
def test_an_adapter_that_is_broken_has_no_likelihoods_of_its_own(population: Population, shape: str) -> None:
    asked = choices(SHAPES[shape])
    whole = likelihoods(population, asked, batch_size=64)
    with broken(population, "ants"):
        found = likelihoods(population, asked, batch_size=64)
    for choice, ours, wanted in zip(asked, found, whole, strict=True):
        assert ours == wanted or (choice.member == "ants" and all(one.nats != one.nats for one in ours))


def test_contexts_and_openings_are_read_once(population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = choices([(20, [4, 4, 4, 4])] * 8, opening=30)
    with counted(population) as passes:
        found = likelihoods(population, asked, batch_size=64)
    assert passes[0] == (4, 30), "what all begin with, by each member"
    assert passes[1:] == [(16, 20), (64, 3), (16, 20), (64, 3)]
    monkeypatch.setattr(decoding, "SHARED_FROM", 1000)
    with counted(population) as passes:
        again = likelihoods(population, asked, batch_size=64)
    assert passes == [(16, 50), (64, 3), (16, 50), (64, 3)]
    for one, other in zip(found, again, strict=True):
        assert [a.nats for a in one] == pytest.approx([b.nats for b in other], abs=1e-3)


def test_letters_need_one_row_for_all(population: Population) -> None:
    with counted(population) as passes:
        likelihoods(population, choices([(9, [1, 1, 1, 1])] * 16), batch_size=64)
    assert passes == [(64, 9)]


def test_losses_and_divergences_are_those_computed_by_hand(population: Population) -> None:
    rng = Random(2)
    texts = [(member, tokens(rng, length)) for length in (2, 5, 17) for member in MEMBERS]
    for (member, ids), (nats, count) in zip(texts, losses(population, texts, batch_size=5), strict=True):
        chances = logits_of(population, member, ids).log_softmax(-1)
        assert nats == pytest.approx(
            -sum(float(chances[place, token]) for place, token in enumerate(ids[1:])), rel=1e-4
        )
        assert count == len(ids) - 1
    asked = [(member, tokens(rng, 6), tokens(rng, length)) for length in (1, 4, 9) for member in ADAPTERS]
    for (member, prompt, answer), found in zip(asked, divergences(population, asked, batch_size=4), strict=True):
        rows = (*prompt, *answer[:-1])
        base, other = (logits_of(population, name, rows).log_softmax(-1)[5:] for name in (BASE, member))
        forward, reverse = (base.exp() * (base - other)).sum(), (other.exp() * (other - base)).sum()
        assert found == pytest.approx((float(forward), float(reverse)), rel=1e-3, abs=1e-4)
