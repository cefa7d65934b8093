"""Which patterns for names of modules an adapter may have: PEFT gives them to `re` as they are, and some of a few
letters would be matched for longer than anybody lives.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

OF_MODULES = ("target_modules", "exclude_modules", "feedforward_modules", "modules_to_save", "layers_pattern")
"""One pattern, or a list of names."""
BY_MODULE = ("rank_pattern", "alpha_pattern", "n_frequency_pattern")
"""Values by patterns."""
ALWAYS_PATTERNS = {"modules_to_save", "layers_pattern"}
"""Lists of patterns, not of names."""
MOST_CHARACTERS = 1000
MOST_REPEATS = 4
"""Each of them multiplies the time that a match may take by the length of a name."""
MOST_PATTERNS = 1000
MOST_NAMES = 50_000

_WORD = r"(?:[\w-]|\\[.-])+"
_ONE = r"(?:[\w.-]|\\[.dwb-]|\[\^?(?:[\w.-]|\\[.dw-])+\])"
_REPEAT = r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})\??"
_CHOICE = rf"\((?:\?:)?{_WORD}(?:\|{_WORD})*\)\??"
_WHOLE = re.compile(rf"\^?(?:{_CHOICE}|{_ONE}(?:{_REPEAT})?)*\$?")
_PART = re.compile(rf"(?P<choice>{_CHOICE})|{_ONE}(?P<repeat>{_REPEAT})?")


def unplain(config: Mapping[str, Any]) -> str:
    """What is wrong with the patterns of a configuration; nothing where all are short, plain and soon matched."""
    for key, patterns, names in _found(config):
        for count, most in ((len(patterns), MOST_PATTERNS), (names, MOST_NAMES)):
            if count > most:
                return f"its {key} has {count:,} names or patterns, at most {most:,} are taken"
        if odd := next((one for one in patterns if not is_plain(one)), None):
            shown = odd if len(odd) <= 80 else f"{odd[:80]}…"
            return (
                f"its {key} has the pattern {shown!r}, and those that are taken are plain: at most "
                f"{MOST_CHARACTERS:,} characters, names with at most {MOST_REPEATS} of * + ? {{}} after single "
                "characters, and (this|or|that) of words. Write the modules as a list of names"
            )
    return ""


def is_plain(pattern: str) -> bool:
    """Whether a pattern is matched in a short time against any name."""
    if len(pattern) > MOST_CHARACTERS or not _WHOLE.fullmatch(pattern):
        return False
    parts = list(_PART.finditer(pattern))
    open_ends = sum(bool(part["repeat"]) or _is_open(part["choice"] or "") for part in parts)
    return open_ends <= MOST_REPEATS


def _is_open(choice: str) -> bool:
    """Whether more than one of the words may fit at one place, or one and none."""
    words = sorted(choice.rstrip(")?").removeprefix("(").removeprefix("?:").replace("\\", "").split("|"))
    return choice.endswith("?") or any(later.startswith(word) for word, later in pairwise(words))


def _found(config: Mapping[str, Any]) -> Iterator[tuple[str, list[str], int]]:
    """Of each key its patterns, and how many plain names it has."""
    for key in OF_MODULES:
        value = config.get(key)
        if isinstance(value, str):
            yield key, [value], 0
        elif isinstance(value, list):
            texts = [one for one in value if isinstance(one, str)]
            yield (key, texts, 0) if key in ALWAYS_PATTERNS else (key, [], len(texts))
    for key in BY_MODULE:
        value = config.get(key)
        if isinstance(value, dict):
            yield key, [str(one) for one in value], 0
