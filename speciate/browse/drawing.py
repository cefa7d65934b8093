"""A phylogeny as SVG: boxes that are links, coloured by verdict, and edges that say what changed in the recipe.

Made as a tree of elements, whose writer escapes every name; colours are classes, which the page's style knows.
"""

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from speciate.browse.layout import Layout, Placed, laid_out
from speciate.browse.words import address, base_address, figures_in_short
from speciate.records import Branch, Kin, Phylogeny
from speciate.reports import words
from speciate.reports.plain import line

BOX, HIGH = (188, 38)
GAP, ROW = 46, 50
MARGIN = 8
SHOWN_CHANGES = 12
"""Of a recipe, on one edge."""
LETTERS = 24
"""Of a name that fit into its box."""


MOST_NODES = 3000
"""A card can name any number of parents."""


class Drawn(NamedTuple):
    """The drawing, and how many nodes it does not have."""

    svg: str
    left_out: int


def drawn(phylogeny: Phylogeny, here: str = "") -> Drawn:
    """The tree; the node with the digest `here` is marked as the one that is looked at."""
    beyond = max(0, len(phylogeny.kin) - MOST_NODES)
    if beyond:
        phylogeny = phylogeny.model_copy(update={"kin": phylogeny.kin[:MOST_NODES]})
    layout = laid_out(phylogeny)
    width = 2 * MARGIN + layout.columns * BOX + (layout.columns - 1) * GAP
    height = 2 * MARGIN + max(1, layout.rows) * ROW
    root = Element(
        "svg", {"class": "tree", "viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
    )
    # A group and no image: its links are to be reached.
    root.set("role", "group")
    root.set("aria-label", f"Phylogeny of {len(phylogeny.kin):,} nodes")
    by_digest = {one.digest: one for one in phylogeny.kin}
    edges, nodes = SubElement(root, "g", {"class": "edges"}), SubElement(root, "g", {"class": "nodes"})
    for branch in phylogeny.branches:
        if branch.parent in layout.places and branch.child in layout.places:
            _edge(edges, branch, layout, by_digest)
    for one in phylogeny.kin:
        _node(nodes, one, layout.places[one.digest], one.digest == here)
    return Drawn(tostring(root, encoding="unicode"), beyond + phylogeny.left_out)


def changes_in_words(changes: Sequence[str]) -> str:
    """What a child's recipe has differently, a line each."""
    shown = [line(change, 160) for change in changes[:SHOWN_CHANGES]]
    more = len(changes) - len(shown)
    return "\n".join([*shown, *([f"and {more:,} more"] if more > 0 else [])])


def _at(place: Placed) -> tuple[float, float]:
    """The upper left corner of a node's box."""
    return MARGIN + place.column * (BOX + GAP), MARGIN + place.row * ROW + (ROW - HIGH) / 2


def _edge(parent: Element, branch: Branch, layout: Layout, kin: dict[str, Kin]) -> None:
    """A curve, and a wide one that is not seen, for the pointer to find."""
    (x1, y1), (x2, y2) = _at(layout.places[branch.parent]), _at(layout.places[branch.child])
    x1, y1, y2 = x1 + BOX, y1 + HIGH / 2, y2 + HIGH / 2
    bend = GAP / 2 if x2 > x1 else GAP
    path = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    crossing = (branch.parent, branch.child) in layout.crossing
    group = SubElement(parent, "g", {"class": f"edge {branch.kind}{' crossing' if crossing else ''}"})
    how = f"{_name(kin[branch.child])}: {branch.kind.replace('-', ' ')} {_name(kin[branch.parent])}"
    changed = changes_in_words(branch.recipe)
    SubElement(group, "title").text = f"{how}\n{changed}" if changed else how
    SubElement(group, "path", {"class": "reach", "d": path})
    SubElement(group, "path", {"class": "line", "d": path})


def _node(parent: Element, one: Kin, place: Placed, here: bool) -> None:
    x, y = _at(place)
    verdict = one.entry.verdict if one.entry else one.what
    figures = figures_in_short(one.entry) if one.entry else _of_no_entry(one)
    name = _name(one)
    link = address(one.digest) if one.entry else base_address(one.digest) if one.what == "base" else ""
    holder = SubElement(parent, "a", {"href": link}) if link else SubElement(parent, "g")
    holder.set("class", f"node {verdict}{' here' if here else ''}")
    holder.set("aria-label", f"{name}, {verdict}, {figures}")
    if here:
        holder.set("aria-current", "true")
    SubElement(holder, "title").text = f"{name}\n{verdict}\n{figures}"
    SubElement(holder, "rect", {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": str(BOX), "height": str(HIGH), "rx": "6"})
    SubElement(holder, "rect", {"class": "stripe", "x": f"{x:.1f}", "y": f"{y:.1f}", "width": "5", "height": str(HIGH)})
    for text, kind, down in ((line(name, LETTERS), "name", 16), (line(figures, 32), "figures", 30)):
        SubElement(holder, "text", {"class": kind, "x": f"{x + 13:.1f}", "y": f"{y + down:.1f}"}).text = text


def _of_no_entry(one: Kin) -> str:
    return f"base {words.short(one.digest)}" if one.what == "base" else "not in this registry"


def _name(one: Kin) -> str:
    return line(one.name, 80)
