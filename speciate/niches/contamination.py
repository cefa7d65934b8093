"""Which evaluation items training rows give away: the same text, or a run of 13 words in common.

Runs of 13 words are the measure of Brown et al. 2020 (arXiv 2005.14165, appendix C), who also pass over runs that are
in more than ten training texts: those are the form of a task, not its content. What it cannot see: paraphrases, other
languages, and what the base itself was trained on.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from speciate.errors import Contaminated
from speciate.niches.base import Item
from speciate.records import Contamination

Words = tuple[str, ...]

RUN = 13
FORM = 8
"""The shortest run that Brown et al. use. Where one of eight words is common, what stands beside it is too little to
tell: `is the number of ones even or odd`, and then five bits.
"""
COMMON = 10
"""A run of words in more rows than this is the form of a task."""
WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """What training rows and evaluation items have in common."""

    exact: frozenset[str]
    """Digests of items whose whole text is a row's question."""
    shared: frozenset[str]
    """Digests of other items that share a run of words with a row."""
    rows: frozenset[int]
    """Numbers of the rows that give an item away."""
    looked_at: int
    """Rows in all."""


def overlap(items: Sequence[Item], rows: Iterable[tuple[str, str]]) -> Overlap:
    """What training rows (question and answer) give away of the items."""
    exact: dict[str, set[str]] = {}
    owners: dict[Words, set[str]] = {}
    for item in items:
        exact.setdefault(plain(item.prompt), set()).add(item.digest)
        for run in runs(item.prompt, RUN):
            owners.setdefault(run, set()).add(item.digest)
    parts = {part for run in owners for part in parts_of(run)}
    same: set[str] = set()
    giving: set[int] = set()
    seen: dict[Words, set[int]] = {}
    common: Counter[Words] = Counter()
    count = 0
    for number, (question, answer) in enumerate(rows):
        count += 1
        if (found := exact.get(plain(question))) is not None:
            same |= found
            giving.add(number)
        text = f"{question}\n{answer}"
        for run in owners.keys() & runs(text, RUN):
            seen.setdefault(run, set()).add(number)
        common.update(parts & set(runs(text, FORM)))
    telling = {
        run: numbers
        for run, numbers in seen.items()
        if len(numbers) <= COMMON and all(common[part] <= COMMON for part in parts_of(run))
    }
    shared = {digest for run in telling for digest in owners[run]} - same
    giving |= {number for numbers in telling.values() for number in numbers}
    return Overlap(frozenset(same), frozenset(shared), frozenset(giving), count)


def record_of(found: Overlap, items: int, limit: float) -> Contamination:
    """The overlap in figures."""
    return Contamination(
        rows=found.looked_at, items=items, exact=len(found.exact), ngram=len(found.shared), limit=limit
    )


def check(found: Contamination) -> None:
    """Raises Contaminated where training rows give away more of the items than the limit."""
    if found.share > found.limit:
        raise Contaminated(
            f"{found.exact + found.ngram:,} of {found.items:,} evaluation items are in the training rows "
            f"({found.exact:,} word for word, {found.ngram:,} share {RUN} words in a row): {found.share:.1%}, allowed "
            f"{found.limit:.1%}. Take them out of the training data, or raise the suite's max_contamination."
        )


def plain(text: str) -> str:
    """The text without differences of case and spacing."""
    return " ".join(text.casefold().split())


def runs(text: str, length: int) -> list[Words]:
    """Each run of so many words of a text; none of a shorter one."""
    words = WORD.findall(text.casefold())
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def parts_of(run: Words) -> list[Words]:
    """The runs of eight words in a longer one."""
    return [run[start : start + FORM] for start in range(len(run) - FORM + 1)]
