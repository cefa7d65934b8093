"""Answers compared with a reference: as text, as a number, or as what a regular expression finds in them.

For items that come from a table. All read `item.reference` and, where the payload has it, `accept`: a list of further
right answers. Nothing of an answer is run as code; a regular expression is searched for in a sandbox. Knows nothing of
where items come from.
"""

import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from types import TracebackType
from typing import Literal, NamedTuple, Self

from speciate.errors import InputError
from speciate.niches import contain
from speciate.niches.base import Item, Verdict
from speciate.niches.sandbox import Sandbox

PATTERN_TIMEOUT_S = 2.0
LONGEST_TEXT = 100_000
_TAIL = 20_000
_LONGEST_NUMBER = 100
_LARGEST_EXPONENT = 400
_CURRENCY = r"[$\u20ac\u00a3\u00a5\u20b9]"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d+)?|\.\d+)"
_NUMBER = re.compile(
    # A hyphen is a sign where no number, word or bracket stands before it.
    rf"(?P<sign>(?<![\w)\]}}])[-+])?\s?{_CURRENCY}?\s?"
    rf"(?:\\d?frac\{{(?P<over>-?{_DECIMAL})\}}\{{(?P<under>{_DECIMAL})\}}"
    rf"|(?P<whole>{_DECIMAL})(?:(?:[eE]|\s?(?:[x*\u00d7]|\\times|\\cdot)\s?10(?:\^|\*\*))\{{?(?P<power>[-+]?\d+)\}}?)?"
    rf"(?:\s?/\s?(?P<divisor>{_DECIMAL}))?)"
    r"(?:\s?\\?(?P<percent>%))?"
)


class Number(NamedTuple):
    """A number as it is written."""

    value: Fraction
    is_percent: bool


class _Open:
    """A verifier that holds nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Exact(_Open):
    """Right where the answer is the reference, spaces at the ends aside; `fold_case` takes A for a."""

    def __init__(self, fold_case: bool = False) -> None:
        self._fold_case = fold_case

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        """One verdict for each pair, in order."""
        for item, answer in zip(items, answers, strict=True):
            right = any(_same(answer, each, self._fold_case) for each in references(item))
            yield _verdict(right, item)


class Numeric(_Open):
    """Right where the last number of an answer has the value of the last number of the reference.

    Numbers may have commas, a currency, an exponent, a divisor (`3/4`, LaTeX's `frac`) and a percent sign. Where one
    side alone has a percent sign, it may stand for hundredths or for the unit: `20%` is 20 and is 0.2. `tolerance` is
    how far an answer may be away, as a part of the reference, or as it is where that is 0; a `tolerance` of the payload
    goes first. Not read: mixed numbers (`1 1/2`), spaces between thousands, a comma before decimals.
    """

    def __init__(self, tolerance: float = 0.0) -> None:
        self._tolerance = tolerance

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        """One verdict for each pair, in order."""
        for item, answer in zip(items, answers, strict=True):
            tolerance = float(item.payload.get("tolerance", self._tolerance))
            wanted = [last_number(each) for each in references(item)]
            if None in wanted or not math.isfinite(tolerance):
                yield Verdict(0.0, "error", f"the item has no number to compare with: {item.reference[:100]!r}")
                continue
            given = last_number(answer)
            right = given is not None and any(each and close(given, each, tolerance) for each in wanted)
            yield _verdict(right, item)


class Pattern:
    """Right where the first group of a regular expression's last, or first, match in the answer is the reference.

    Spaces at the ends aside; `fold_case` takes A for a; an answer without a match is wrong. A pattern can take time
    that doubles with each letter, and Python's `re` cannot be stopped, so it runs in a sandbox, each answer in a
    process of its own, for a bounded time.
    """

    def __init__(
        self,
        pattern: str,
        *,
        fold_case: bool = False,
        which: Literal["first", "last"] = "last",
        timeout_s: float = PATTERN_TIMEOUT_S,
        by: contain.Containment | None = None,
    ) -> None:
        self.sandbox = Sandbox("patterns", by=by)
        self._pattern = pattern
        self._fold_case = fold_case
        self._which = which
        self._timeout_s = timeout_s
        self._is_checked = False

    def __enter__(self) -> Self:
        self.sandbox.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sandbox.close()

    def check(self) -> None:
        """Raise InputError where the pattern is malformed or has no group."""
        reply = self.sandbox.one({"do": "check", "pattern": self._pattern}, self._timeout_s)
        if wrong := reply.detail or reply.failure or reply.value:
            raise InputError(f"pattern {self._pattern!r}: {wrong}")
        self._is_checked = True

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        """One verdict for each pair, in order. Raises InputError where the pattern is malformed."""
        if not self._is_checked:
            self.check()
        requests = [
            # The end of a long answer, where its result stands.
            {"do": "search", "pattern": self._pattern, "which": self._which, "text": answer[-LONGEST_TEXT:]}
            for answer in answers
        ]
        replies = self.sandbox.ask(requests, self._timeout_s)
        for item, reply in zip(items, replies, strict=True):
            if reply.failure:
                yield Verdict(0.0, "crash" if reply.failure == "error" else reply.failure, reply.detail, reply.ms)
            elif not isinstance(reply.value, str):
                yield Verdict(0.0, "wrong", "no match", reply.ms)
            else:
                found = reply.value
                right = any(_same(found, each, self._fold_case) for each in references(item))
                yield _verdict(right, item, found, reply.ms)


def references(item: Item) -> list[str]:
    """All that an item's payload says is right."""
    return [item.reference, *(str(each) for each in item.payload.get("accept", ()))]


def last_number(text: str) -> Number | None:
    """The last number of a text; None where there is none, or it has more than 100 characters or 400 places."""
    last = None
    for last in _NUMBER.finditer(text[-_TAIL:].replace("\u2212", "-").replace("{,}", ",")):  # noqa: B007
        pass
    return None if last is None else _number(last)


def close(given: Number, wanted: Number, tolerance: float) -> bool:
    """Whether a number is another, or as near to it as the tolerance, a part of the other, allows."""
    readings = [given.value]
    if given.is_percent != wanted.is_percent:
        # The unit of one of them is left unsaid: a percent sign's hundredth is undone, or a missing one's is done.
        readings.append(given.value * 100 if given.is_percent else given.value / 100)
    allowed = Fraction(tolerance) * (abs(wanted.value) or 1)
    return any(abs(value - wanted.value) <= allowed for value in readings)


def _number(match: re.Match[str]) -> Number | None:
    power = int(match["power"] or 0) if len(match["power"] or "") < 6 else _LARGEST_EXPONENT + 1
    if len(match[0]) > _LONGEST_NUMBER or abs(power) > _LARGEST_EXPONENT:
        return None
    over, under = match["over"] or match["whole"], match["under"] or match["divisor"] or "1"
    value, divisor = (Fraction(Decimal(part.replace(",", ""))) for part in (over, under))
    if not divisor:
        return None
    value *= Fraction(10) ** power / divisor
    is_percent = match["percent"] is not None
    return Number((-value if match["sign"] == "-" else value) / (100 if is_percent else 1), is_percent)


def _same(answer: str, reference: str, fold_case: bool) -> bool:
    given, wanted = answer.strip(), reference.strip()
    return given.casefold() == wanted.casefold() if fold_case else given == wanted


def _verdict(right: bool, item: Item, found: str = "", ms: float = 0.0) -> Verdict:
    if right:
        return Verdict(1.0, "ok", "", ms)
    told = f"found {found[:80]!r}, " if found else ""
    return Verdict(0.0, "wrong", f"{told}expected {' '.join(item.reference.split())[:200]}", ms)
