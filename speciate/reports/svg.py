"""SVG that matplotlib wrote, made to stand in a page: no fonts, no colours and no identifiers of its own.

Colours become classes (`f-ink` fills, `s-ink` strokes), which the page's style gives a colour for light and for dark;
inline styles, which a strict Content-Security-Policy forbids, become attributes; words are in the font of the page.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

COLOURS = ("ink", "soft", "line", "paper", "base", "bound", *(f"arm{number}" for number in range(8)))
"""What a drawing may be coloured with: names, whose values only the page knows."""

TEXT = 12.5
"""Size of words, in pixels, where nothing else is said."""
_NUMBER = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


class Words(NamedTuple):
    """Text on a drawing, whose baseline begins, has its middle, or ends at a place."""

    x: float
    y: float
    text: str
    colour: str
    size: float
    side: str
    bold: bool


def placeholder(colour: str) -> str:
    """What stands for a colour until `inline` finds it."""
    return f"#fe00{COLOURS.index(colour):02x}"


def inline(raw: bytes, words: Sequence[Words], name: str, title: str, description: str) -> str:
    """The drawing for a page in which `name` is unique; both texts are for those who cannot see it."""
    root = ElementTree.fromstring(raw)
    _rewrite(root)
    _rename(root, name)
    _unwrap(root)
    root.extend(map(_text, words))
    _, _, width, height = root.get("viewBox", "0 0 0 0").split()
    root.attrib = {
        "class": "chart",
        "viewBox": f"0 0 {width} {height}",
        "width": width,
        "height": height,
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-desc",
        "stroke-linejoin": "round",
        "font-size": f"{TEXT:g}",
    }
    for at, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(tag, {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(at, element)
    return ElementTree.tostring(root, encoding="unicode")


def _text(words: Words) -> ElementTree.Element:
    element = ElementTree.Element("text", {"class": f"f-{words.colour}", "x": f"{words.x:.1f}", "y": f"{words.y:.1f}"})
    if words.size != TEXT:
        element.set("font-size", f"{words.size:g}")
    if words.side != "left":
        element.set("text-anchor", {"center": "middle", "right": "end"}[words.side])
    if words.bold:
        element.set("font-weight", "bold")
    element.text = words.text
    return element


def _rewrite(root: ElementTree.Element) -> None:
    """Attributes instead of styles, classes instead of colours, and fewer digits."""
    names = {placeholder(colour): colour for colour in COLOURS}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = element.tail = None
        if reference := element.attrib.pop("{http://www.w3.org/1999/xlink}href", None):
            element.set("href", reference)
        classes: list[str] = []
        for declaration in element.attrib.pop("style", "").split(";"):
            key, _, value = (part.strip() for part in declaration.partition(":"))
            if colour := names.get(value):
                classes.append(f"{key[0]}-{colour}")
            elif key:
                element.set(key, value)
        if classes:
            element.set("class", " ".join(classes))
        for key in ("d", "x", "y"):
            if value := element.get(key):
                element.set(key, _NUMBER.sub(_rounded, " ".join(value.split())))


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _rename(root: ElementTree.Element, name: str) -> None:
    """Identifiers that something refers to begin with the drawing's name; the others go."""
    used: dict[str, str] = {}
    for element in root.iter():
        for value in (element.get("href", ""), element.get("clip-path", "")):
            found = _REFERENCE.search(value)
            target = found[1] if found else value.removeprefix("#")
            if target:
                used.setdefault(target, f"{name}-{len(used)}")
    for element in root.iter():
        identifier = element.attrib.pop("id", "")
        if identifier in used:
            element.set("id", used[identifier])
        if reference := element.get("href"):
            element.set("href", f"#{used[reference.removeprefix('#')]}")
        # The sheet is as large as what is drawn on it, so nothing needs to be clipped.
        element.attrib.pop("clip-path", None)


def _unwrap(parent: ElementTree.Element) -> None:
    """Groups and definitions that say nothing are replaced by what is in them."""
    children: list[ElementTree.Element] = []
    for child in list(parent):
        _unwrap(child)
        if child.tag == "clipPath" or child.tag == "style":
            continue
        if child.tag in ("g", "defs") and not child.attrib and (child.tag == "g" or not len(child)):
            children.extend(child)
        else:
            children.append(child)
    parent[:] = children
