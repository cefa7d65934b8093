"""Where the nodes of a phylogeny stand: apart, parents before children, whatever the cards say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speciate.browse.drawing import MOST_NODES, drawn
from speciate.browse.layout import laid_out
from speciate.records import Branch, Kin, Phylogeny


def phylogeny(count: int, edges: list[tuple[int, int]]) -> Phylogeny:
    names = [f"sha256:{number:064x}" for number in range(count)]
    return Phylogeny(
        kin=[Kin(digest=name, what="absent", name=name[-4:]) for name in names],
        branches=[Branch(parent=names[parent], child=names[child], kind="continued") for parent, child in edges],
    )


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
@settings(max_examples=200, deadline=None)
def test_every_node_has_a_place_of_its_own(made: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = made
    found = laid_out(phylogeny(count, edges))
    assert len(found.places) == len(set(found.places.values())) == count
    assert max(place.column for place in found.places.values()) == found.columns - 1
    assert max(place.row for place in found.places.values()) == found.rows - 1


def test_children_are_right_of_their_parent_and_a_second_parent_crosses() -> None:
    found = laid_out(phylogeny(5, [(0, 1), (0, 2), (1, 3), (2, 3), (2, 4)]))
    assert [tuple(place) for _, place in sorted(found.places.items())] == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert [int(parent[7:], 16) for parent, _ in found.crossing] == [2]


@pytest.mark.parametrize("edges", [[(n, n + 1) for n in range(999)], [(0, n + 1) for n in range(999)]])
def test_a_chain_and_a_bush_of_a_thousand_are_drawn_whole(edges: list[tuple[int, int]]) -> None:
    drawing = drawn(phylogeny(1000, edges))
    assert drawing.svg.count('class="node ') == 1000
    assert drawing.left_out == 0


def test_a_card_with_very_many_parents_is_cut_and_said() -> None:
    drawing = drawn(phylogeny(MOST_NODES + 7, []))
    assert drawing.left_out == 7
