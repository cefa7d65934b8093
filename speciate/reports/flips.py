"""Which of many flips are shown, and how long their texts may be.

A page has room for some only. Every arm, direction and family gets its share: whoever reads ten of them has seen ten
kinds of change, and not ten of one. Pure; the order follows from the flips alone.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from speciate.records import Flip
from speciate.reports.plain import line, middle_cut

PROMPT, OUTPUT, DETAIL = 1500, 1500, 600
"""Characters of each text that are shown."""


class Shown(NamedTuple):
    """A text as it is shown: how it begins and ends, and how many characters between are not shown."""

    head: str
    left_out: int
    tail: str


class FlipTexts(NamedTuple):
    """A flip without characters that are not seen, and short enough to be read."""

    arm: str
    item: str
    family: str
    role: str
    lost: bool
    prompt: Shown
    base: Shown
    adapter: Shown
    reason: str
    detail: Shown


def fair(flips: Sequence[Flip]) -> list[Flip]:
    """All of them, so that any beginning of the list is spread over arms, then directions, then families."""
    spread = _in_turn(flips, [(flip.arm, flip.lost, flip.family) for flip in flips])
    spread = _in_turn(spread, [(flip.arm, flip.lost) for flip in spread])
    return _in_turn(spread, [(flip.arm,) for flip in spread])


def texts(flip: Flip, most: float = 1.0) -> FlipTexts:
    """What is shown of a flip; `most` shortens its texts."""
    return FlipTexts(
        arm=line(flip.arm, 60),
        item=line(flip.item.removeprefix("sha256:")[:12]),
        family=line(flip.family),
        role=flip.role,
        lost=flip.lost,
        prompt=_cut(flip.prompt, PROMPT * most),
        base=_cut(flip.base_output, OUTPUT * most),
        adapter=_cut(flip.adapter_output, OUTPUT * most),
        reason=line(flip.reason, 40),
        detail=_cut(flip.detail, DETAIL * most),
    )


def _in_turn(flips: Sequence[Flip], groups: Sequence[tuple[str | bool, ...]]) -> list[Flip]:
    """The first of each group, then the second of each; groups in the order in which they come."""
    seen: Counter[tuple[str | bool, ...]] = Counter()
    turns: list[tuple[int, int]] = []
    for at, group in enumerate(groups):
        turns.append((seen[group], at))
        seen[group] += 1
    return [flips[at] for _, at in sorted(turns)]


def _cut(text: str, most: float) -> Shown:
    head, left_out, tail = middle_cut(text, int(most))
    return Shown(head, left_out, tail)
