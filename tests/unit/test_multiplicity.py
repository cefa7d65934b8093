"""Holm's adjustment against a published example and against its definition by closed testing."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.evals.multiplicity import holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def test_the_example_that_textbooks_use() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_nothing_compared_and_one_comparison() -> None:
    assert holm([]) == []
    assert holm([0.04]) == [0.04]


@given(p_values)
def test_it_is_bonferroni_on_every_group_that_holds_the_comparison(values: list[float]) -> None:
    places = range(len(values))
    groups = [group for size in places for group in combinations(places, size + 1)]
    for place, adjusted in enumerate(holm(values)):
        closed = max(min(1.0, len(group) * min(values[i] for i in group)) for group in groups if place in group)
        assert adjusted == pytest.approx(closed)


@given(p_values)
def test_the_order_of_the_comparisons_does_not_matter(values: list[float]) -> None:
    assert holm(values[::-1]) == holm(values)[::-1]
    assert all(adjusted >= value for adjusted, value in zip(holm(values), values, strict=True))


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_p_value_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="a p-value is in"):
        holm([0.5, wrong])
