"""What reasoning-gym's scorers forget to ask of an answer that they call right.

Each was found by an answer that is wrong and scored 1.0: it is named beside its question here, and is a test. A scorer
that gains the question itself loses nothing by it. Runs inside the sandbox. Knows nothing of how answers are scored.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from speciate.niches.inside.formulas import number_of

Entry = dict[str, Any]
_ARITHMETIC = re.compile(r"(?:[\d\s+\-()]|\*(?!\*)|/(?!/))+")


def holds(family: str, answer: str, entry: Entry) -> bool:
    """Whether an answer that scored 1.0 is right indeed. Raises ValueError where it cannot be read."""
    return family not in _QUESTIONS or _QUESTIONS[family](answer, entry)


def _is_number(answer: str, _: Entry) -> bool:
    # `nan`: the distance to it is no number either, and the smaller of 1 and that is 1.
    return "nan" not in answer.lower()


def _is_probability(answer: str, entry: Entry) -> bool:
    # `0`: as many of its characters as it has are those of `0.234`.
    given, right = (float(Fraction(text.replace(",", ""))) for text in (answer, entry["answer"]))
    return abs(given - right) <= 1e-4 and (given != 0) == (right != 0)


def _uses_the_numbers(answer: str, entry: Entry) -> bool:
    # `6 * 4 * 1 * 1`: four numbers that make 24 for every question; `24.5 * 1`: cut to 24; `1.5`: two numbers.
    if not _ARITHMETIC.fullmatch(answer):
        return False
    target = entry["metadata"].get("target", 24)
    given = sorted(int(found) for found in re.findall(r"\d+", answer))
    return given == sorted(entry["metadata"]["numbers"]) and number_of(answer) == target


def _is_sorted_list(answer: str, entry: Entry) -> bool:
    # `[NaN, NaN]`: never more than 1 away from the right numbers; and numbers that are 1 away.
    given, right = (
        [float(found) for found in json.loads(text.replace("'", '"'))] for text in (answer, entry["answer"])
    )
    return given == right


def _is_the_board(answer: str, entry: Entry) -> bool:
    # A board that goes on beyond the right one.
    return json.loads(answer) == json.loads(entry["answer"])


def _is_the_text(answer: str, entry: Entry) -> bool:
    # Words after the right ones; a long word with ten letters in place; for game_of_life_halting, any text.
    given, right = ("".join(text.lower().split()) for text in (answer, entry["answer"]))
    return given == right


_QUESTIONS: dict[str, Callable[[str, Entry], bool]] = {
    "complex_arithmetic": _is_number,
    "coin_flip": _is_probability,
    "puzzle24": _uses_the_numbers,
    "countdown": _uses_the_numbers,
    "number_sorting": _is_sorted_list,
    "game_of_life": _is_the_board,
    "letter_jumble": _is_the_text,
    "figlet_font": _is_the_text,
    "game_of_life_halting": _is_the_text,
}
