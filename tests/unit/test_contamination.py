"""What training rows give away: word for word, in runs of words, and not by the form of a task."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate.data.build import apart
from speciate.errors import Contaminated
from speciate.niches import skills
from speciate.niches.base import Item
from speciate.niches.contamination import RUN, check, overlap, record_of

WORDS = [f"word{number}" for number in range(400)]


def item(text: str) -> Item:
    return Item("f", text, "x", f"digest of {text}")


def sentence(seed: int, length: int) -> str:
    return " ".join(Random(seed).sample(WORDS, length))


def test_the_same_text_is_found_whatever_its_case_and_spacing() -> None:
    found = overlap([item("Is it so?"), item("Another.")], [("is  IT\nso?", "no"), ("unlike", "x")])
    assert found.exact == {"digest of Is it so?"}
    assert (found.shared, found.rows, found.looked_at) == (set(), {0}, 2)


def test_all_items_of_one_question_are_found() -> None:
    asked = [Item("f", "Is it so?", answer, f"digest of {answer}") for answer in ("yes", "no")]
    found = overlap([*asked, item("Another.")], [("is it so?", "yes"), ("Is it so?", "no")])
    assert found.exact == {"digest of yes", "digest of no"}
    assert (found.shared, found.rows, found.looked_at) == (set(), {0, 1}, 2)
    assert record_of(found, 3, 1.0).exact == 2


@pytest.mark.parametrize(("length", "shared"), [(RUN - 1, 0), (RUN, 1), (RUN + 5, 1)])
def test_thirteen_words_in_a_row_give_an_item_away(length: int, shared: int) -> None:
    run = sentence(1, length)
    found = overlap([item(f"Before. {run}, after?")], [("Some other beginning", f"and: {run.upper()}! The end.")])
    assert len(found.shared) == shared
    assert len(found.exact) == 0
    assert len(found.rows) == shared


def test_what_many_rows_share_is_the_form_of_a_task() -> None:
    form = sentence(2, 16)
    rows = [(f"{form} {word}", "x") for word in WORDS[:11]]
    assert overlap([item(f"{form} new")], rows[:10]).shared
    assert not overlap([item(f"{form} new")], rows).shared
    assert overlap([item(f"{form} {WORDS[0]}")], rows).exact, "the same text is found all the same"


def test_little_beside_the_form_does_not_tell() -> None:
    rows = [("is the number of ones even or odd " + " ".join(f"{number:07b}"), "x") for number in range(128)]
    asked = item("is the number of ones even or odd " + " ".join("0101010") + " 1 1 1")
    assert not overlap([asked], rows).shared


def test_training_rows_are_kept_apart_from_items() -> None:
    items = [item(sentence(seed, 20)) for seed in range(5)]
    rows = [item(sentence(100 + seed, 20)) for seed in range(20)]
    telling = [item("And so: " + items[3].prompt), items[4]]
    assert apart([*rows, *telling], items) == rows


def test_the_general_items_of_the_shipped_base_are_not_given_away_by_its_replay() -> None:
    items = [one for name in skills.SKILLS for one in skills.sample(name, 30, "general")]
    rows = [one for name in skills.SKILLS for one in skills.sample(name, 60, "replay", held=False)]
    found = overlap(items, [(row.prompt, row.reference) for row in rows])
    assert len(found.exact) == 0
    assert len(found.shared) <= 2


def test_more_than_the_limit_is_an_error_that_counts() -> None:
    found = overlap([item(sentence(seed, 20)) for seed in range(10)], [(sentence(seed, 20), "") for seed in (1, 2)])
    check(record_of(found, 10, 0.2))
    with pytest.raises(Contaminated, match=r"2 of 10 evaluation items .* \(2 word for word, 0 share 13.* 20\.0%, all"):
        check(record_of(found, 10, 0.19))


@given(
    st.lists(st.lists(st.sampled_from(["ab", "cd", "ef"]), max_size=30).map(" ".join), max_size=8), st.integers(0, 7)
)
@settings(max_examples=80, deadline=None)
def test_a_row_that_is_an_item_is_always_found(texts: list[str], place: int) -> None:
    items = [item(text) for text in dict.fromkeys(texts)]
    if not items:
        return
    chosen = items[place % len(items)]
    found = overlap(items, [(chosen.prompt, "")])
    assert found.exact == {chosen.digest}
    assert found.rows == {0}
