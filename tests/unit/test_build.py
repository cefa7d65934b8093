"""Splits that cannot overlap, and data in which every reference was accepted. The niche here is general skills."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.data.build import Wanted, build, shares
from speciate.errors import InputError, VerifierError
from speciate.niches import skills
from speciate.niches.base import Item, Verdict
from speciate.niches.splits import split_of


def stream(family: str, seed: str) -> Iterator[Item]:
    return skills.stream(family, seed, held=False)


def wanted(**changes: object) -> Wanted:
    plain: dict[str, object] = {
        "families": ["sums", "sorting"],
        "held_out": ["reversal"],
        "train": 60,
        "dev": 10,
        "test": 20,
        "transfer": 10,
        "replay": 0.25,
        "weights": {},
        "evaluation_weights": {},
    }
    return Wanted(**(plain | changes))  # type: ignore[arg-type]


class RefusesSome(skills.ExactMatch):
    """Refuses the references whose digest ends in one of `digits`."""

    def __init__(self, digits: str) -> None:
        self.digits = digits

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        for item, verdict in zip(items, super().verify(items, answers), strict=True):
            yield Verdict(0.0, "error", "no") if item.digest[-1] in self.digits else verdict


def test_no_item_is_in_two_splits_whatever_the_seed() -> None:
    made = [build(stream, wanted(), seed, frozenset(), skills.ExactMatch(), lambda _: None) for seed in (0, 1)]
    trained = {item.digest for rows in made for item in rows.train}
    judged = {item.digest for rows in made for item in (*rows.dev, *rows.test, *rows.transfer)}
    assert len(judged) == 40, "the evaluation items are the same for every seed"
    assert not trained & judged
    assert {item.digest for item in made[0].dev}.isdisjoint(item.digest for item in made[0].test)
    assert made[0].train != made[1].train
    assert not any(skills.held_out(item) for rows in made for item in rows.replay)
    assert {item.family for item in made[0].train} == {"sums", "sorting"}
    assert len(made[0].replay) == 20


def test_the_same_seed_gives_the_same_data() -> None:
    one, two = (build(stream, wanted(), 3, frozenset(), skills.ExactMatch(), lambda _: None) for _ in range(2))
    assert one == two


def test_excluded_items_are_in_no_split() -> None:
    first = build(stream, wanted(), 0, frozenset(), skills.ExactMatch(), lambda _: None)
    seen = frozenset(item.digest for item in (*first.train, *first.test))
    again = build(stream, wanted(), 0, seen, skills.ExactMatch(), lambda _: None)
    assert seen.isdisjoint(item.digest for item in (*again.train, *again.dev, *again.test))


def test_refused_references_are_left_out_and_counted() -> None:
    plain = build(stream, wanted(train=600), 0, frozenset(), skills.ExactMatch(), lambda _: None)
    worst = min(
        "0123456789abcdef", key=lambda digit: sum(item.digest[-2:] == f"{digit}0" for item in plain.train) or 99
    )
    refused = {item.digest for item in plain.train if item.digest[-2:] == f"{worst}0"}
    assert 0 < len(refused) < 12

    class RefusesThose(skills.ExactMatch):
        def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
            for item, verdict in zip(items, super().verify(items, answers), strict=True):
                yield Verdict(0.0, "error", "no") if item.digest in refused else verdict

    rows = build(stream, wanted(train=600), 0, frozenset(), RefusesThose(), lambda _: None)
    assert rows.manifest.rejected_references == len(refused)
    assert refused.isdisjoint(item.digest for item in rows.train)
    assert len(rows.train) == 600 - len(refused)


def test_a_broken_generator_stops_the_run() -> None:
    with pytest.raises(VerifierError, match=r"refused \d+ of 60 reference answers"):
        build(stream, wanted(), 0, frozenset(), RefusesSome("01234567"), lambda _: None)


def test_a_family_with_too_few_items_is_named() -> None:
    with pytest.raises(InputError, match="family 'parity' has only about"):
        build(stream, wanted(families=["parity"], train=5000), 0, frozenset(), skills.ExactMatch(), lambda _: None)


def test_shares_are_even_and_complete() -> None:
    assert shares(10, ["a", "b", "c"]) == {"a": 4, "b": 3, "c": 3}
    assert shares(0, []) == {}


@given(
    total=st.integers(0, 10_000),
    weights=st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.01, 100), min_size=1),
)
def test_weighted_shares_are_complete_and_off_by_less_than_one(total: int, weights: dict[str, float]) -> None:
    counts = shares(total, list(weights), weights)
    assert sum(counts.values()) == total
    for name, count in counts.items():
        assert abs(count - total * weights[name] / sum(weights.values())) < 1 + 1e-9


def test_a_family_without_a_weight_weighs_one() -> None:
    assert shares(8, ["a", "b", "c"], {"b": 2}) == {"a": 2, "b": 4, "c": 2}


def test_splits_have_their_sizes() -> None:
    items = skills.sample("sums", 3000, "sizes", held=False)
    found = [split_of(item) for item in items]
    assert 0.66 < found.count("train") / 3000 < 0.74
    assert 0.16 < found.count("test") / 3000 < 0.24
