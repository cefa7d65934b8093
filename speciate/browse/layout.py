"""Where the nodes of a phylogeny stand: a tidy tree from left to right, each generation a column.

A node with several parents hangs under the first; the other edges cross over. Of children, those with few descendants
come first, so that they stand by their parent. No recursion: a chain of a thousand is a thousand deep.
"""

from collections.abc import Sequence
from typing import NamedTuple

from speciate.records import Branch, Phylogeny


class Placed(NamedTuple):
    """A node's column and row; each leaf has a row of its own, and a parent that of its first child, so that a root is
    in sight where a drawing begins.
    """

    column: int
    row: int


class Layout(NamedTuple):
    """Places by digest, and the edges that are not those of the tree."""

    places: dict[str, Placed]
    crossing: set[tuple[str, str]]
    """Parent and child."""
    columns: int
    rows: int


def laid_out(phylogeny: Phylogeny) -> Layout:
    """Place every node once."""
    children, roots, crossing = _forest(phylogeny)
    _sort_by_size(children)
    columns: dict[str, int] = {}
    order: list[str] = []
    waiting = list(reversed(roots))
    while waiting:
        digest = waiting.pop()
        order.append(digest)
        for child in reversed(children[digest]):
            columns[child] = columns.get(digest, 0) + 1
            waiting.append(child)
    rows: dict[str, int] = {}
    leaves = 0
    for digest in order:
        if not children[digest]:
            rows[digest] = leaves
            leaves += 1
    for digest in reversed(order):
        if its := children[digest]:
            rows[digest] = rows[its[0]]
    places = {digest: Placed(columns.get(digest, 0), rows[digest]) for digest in order}
    return Layout(places, crossing, 1 + max(columns.values(), default=0), leaves)


def _sort_by_size(children: dict[str, list[str]]) -> None:
    """Those with few descendants first; parents are before their children in the mapping."""
    sizes: dict[str, int] = {}
    for digest in reversed(children):
        children[digest].sort(key=lambda child: sizes[child])
        sizes[digest] = 1 + sum(sizes[child] for child in children[digest])


def _forest(phylogeny: Phylogeny) -> tuple[dict[str, list[str]], list[str], set[tuple[str, str]]]:
    """Children by parent, the roots, and the branches that are left over: those to further parents."""
    parents: dict[str, list[Branch]] = {}
    for branch in phylogeny.branches:
        parents.setdefault(branch.child, []).append(branch)
    children: dict[str, list[str]] = {}
    roots: list[str] = []
    crossing: set[tuple[str, str]] = set()
    for one in phylogeny.kin:
        edges = parents.get(one.digest, [])
        # Parents come first, so in a circle, which no honest card makes, one edge waits in vain and crosses.
        hung = _first_known(edges, children)
        if hung is None:
            roots.append(one.digest)
        else:
            children[hung.parent].append(one.digest)
        crossing |= {(edge.parent, edge.child) for edge in edges if edge is not hung}
        children[one.digest] = []
    return children, roots, crossing


def _first_known(edges: Sequence[Branch], known: dict[str, list[str]]) -> Branch | None:
    return next((edge for edge in edges if edge.parent in known), None)
