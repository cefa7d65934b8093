"""Documents in invented formats: what is asked for can be found before it."""

import re
from itertools import chain
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.data import lookback

seeds = st.integers(0, 10**9)


@given(seed=seeds)
def test_a_document_follows_from_its_seed(seed: int) -> None:
    assert lookback.document(Random(seed)) == lookback.document(Random(seed))


def test_formats_are_not_repeated() -> None:
    documents = {lookback.document(Random(seed)) for seed in range(500)}
    assert len(documents) > 490


@given(seed=seeds)
def test_repeats_repeat(seed: int) -> None:
    text = lookback.repeats(Random(seed))
    separators = ("\n", " ; ", " | ", " . ")
    cuts = [(separator, times) for separator in separators for times in (2, 3, 4)]
    rows = [text[: (len(text) - len(separator) * (times - 1)) // times] for separator, times in cuts]
    assert any(separator.join([row] * times) == text for row, (separator, times) in zip(rows, cuts, strict=True))


@pytest.mark.parametrize("kind", [lookback.records, lookback.derivations, lookback.rewrites])
@given(seed=seeds)
def test_every_symbol_of_the_end_stands_before_it(kind: lookback.Callable[[Random], str], seed: int) -> None:
    words = re.findall(r"[A-Za-z0-9]+", kind(Random(seed)))
    last = words[-1]
    assert last in words[:-1]


@given(seed=seeds)
def test_ways_share_no_symbol(seed: int) -> None:
    ways = lookback.ways_between(Random(seed), lookback.LETTERS)
    nodes = list(chain.from_iterable(ways))
    assert len(set(nodes)) == len(nodes)
    assert all(2 <= len(way) <= 6 for way in ways)


@given(seed=seeds)
def test_labels_are_never_taken_for_nodes(seed: int) -> None:
    rng = Random(seed)
    taken = lookback.symbols(rng)
    assert set(taken).isdisjoint(lookback.other_symbols(rng, taken))


@given(seed=seeds, count=st.integers(1, 6))
def test_notations_keep_the_leaves_in_their_order(seed: int, count: int) -> None:
    tree = lookback.random_tree(Random(seed), lookback.LETTERS[:count])
    for operator, brackets, suffix in ((" ∧ ", ("(", ")"), ""), (", ", ("⟨", "⟩"), "'")):
        text = lookback.written(tree, operator, brackets, suffix)
        assert "".join(re.findall("[a-z]", text)) == lookback.LETTERS[:count]
        assert text.count(brackets[0]) == text.count(brackets[1]) == max(0, count - 2)
        assert text.count(operator) == count - 1


def test_a_tree_is_written_with_all_brackets_but_the_outermost() -> None:
    tree = (("a", "b"), ("c", ("d", "e")))
    assert lookback.written(tree, " ∧ ", ("(", ")"), "") == "(a ∧ b) ∧ (c ∧ (d ∧ e))"


@given(seed=seeds)
def test_a_writer_writes_every_field_in_the_same_place(seed: int) -> None:
    write = lookback.writer(Random(seed), ["from", "to"])
    once, again = (write({"from": a, "to": b}) for a, b in (("XXX", "YYY"), ("YYY", "XXX")))
    assert once.index("XXX") < once.index("YYY")
    assert once.replace("XXX", "-").replace("YYY", "XXX").replace("-", "YYY") == again or "-" in once
