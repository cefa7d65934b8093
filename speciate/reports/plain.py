"""Text that others wrote, made safe to show: nothing in it moves a cursor, turns the text round or hides itself.

Escaping for HTML or Markdown is the business of who writes HTML or Markdown.
"""

import unicodedata

_SHOWN = frozenset({"Zs", "Mn", "Mc", "Me"})
"""Spaces and combining marks belong to what is written; `isprintable` denies the former."""


def plain(*values: object) -> str:
    """The values in one line, with a mark for each character that could move the cursor or turn the text round."""
    line = " ".join(" ".join(str(value).split()) for value in values)
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def visible(text: str) -> str:
    """The text with its line ends and tabs, and each other character that has no picture given one."""
    text = text.replace("\r\n", "\n")
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(map(_picture, text))


def line(text: object, most: int = 80) -> str:
    """The text in one line of at most `most` characters, and with all of its characters visible."""
    # What is cut away need not be made visible first; a megabyte is no label.
    shown = visible(" ".join(str(text)[: 4 * most].split()))
    return shown if len(shown) <= most and len(str(text)) <= 4 * most else shown[: most - 1] + "…"


def middle_cut(text: str, most: int) -> tuple[str, int, str]:
    """The head and the tail of the text with the number of characters between them that are left out.

    How an answer begins and how it ends both matter: a proof that was cut off shows at its end.
    """
    if len(text) <= most:
        return visible(text), 0, ""
    tail = most // 3
    head = most - tail
    return visible(text[:head]), len(text) - most, visible(text[-tail:])


def _picture(character: str) -> str:
    code = ord(character)
    if character.isprintable() or character in "\n\t" or unicodedata.category(character) in _SHOWN:
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
