"""Rows of intervals: a name and its figure in words, and under both the interval on a scale that all rows share.

The name stands above its interval and not beside it, so that long names and narrow screens get on; the drawing grows
in height with its rows. Knows nothing of records.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

from speciate.reports.sheet import WIDTH, Mark, Scale, Sheet, fitted, scale, width_of

_LEFT, _RIGHT = 4.0, WIDTH - 4.0
_NAME, _LANE, _GAP, _HEADING, _AXIS = 19.0, 9.0, 8.0, 26.0, 20.0


class Lane(NamedTuple):
    """One estimate with its interval."""

    value: float
    low: float
    high: float
    mark: Mark

    @property
    def known(self) -> bool:
        """Whether it can be drawn."""
        return all(isfinite(value) for value in (self.value, self.low, self.high))


class Row(NamedTuple):
    """A name, what is known of it in words, and in one to three lanes; without lanes it is a heading."""

    name: str
    figure: str = ""
    lanes: tuple[Lane, ...] = ()
    bound: float | None = None
    """Something to compare the lanes with, drawn as a dashed tick."""

    @property
    def height(self) -> float:
        return _NAME + _LANE * len(self.lanes) + _GAP if self.lanes else _HEADING


def tracks(
    name: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    tick: Callable[[float], str],
    ends: tuple[float, float] | None = None,
) -> str:
    """The drawing; `tick` puts a value of the scale into words, and `ends` are those of the scale where known."""
    values = [end for row in rows for lane in row.lanes if lane.known for end in lane[:3]]
    values += [row.bound for row in rows if row.bound is not None]
    across = Scale(*ends, _LEFT, _RIGHT) if ends else scale([*values, 0.0], _LEFT, _RIGHT)
    height = sum(row.height for row in rows)
    above = _AXIS + 4 if height > 420 else 0.0
    sheet = Sheet(round(above + height + _AXIS))
    ticks = across.ticks()
    for value in ticks:
        words = tick(value)
        half = width_of(words) / 2
        at = min(max(across(value), half), WIDTH - half)
        for base in (above + height + 15, *((13.0,) if above else ())):
            sheet.write(at, base, words, "soft", side="center")
    _draw(sheet, rows, across, ticks, above)
    return sheet.svg(name, title, description)


def _draw(sheet: Sheet, rows: Sequence[Row], across: Scale, ticks: Sequence[float], top: float) -> None:
    grid: dict[str, list[list[tuple[float, float]]]] = {"line": [], "soft": [], "bound": []}
    intervals: defaultdict[str, list[list[tuple[float, float]]]] = defaultdict(list)
    points: defaultdict[Mark, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if not row.lanes:
            sheet.write(0, top + _HEADING - 7, fitted(row.name, WIDTH), "soft", bold=True)
            top += row.height
            continue
        taken = width_of(row.figure)
        sheet.write(0, top + _NAME - 6, fitted(row.name, WIDTH - 10 - taken))
        sheet.write(WIDTH, top + _NAME - 6, row.figure, "soft", side="right")
        # Lines of the grid stand behind intervals only, so that words are read undisturbed.
        begin, end = top + _NAME - 1, top + _NAME + _LANE * len(row.lanes) + 1
        for value in ticks:
            grid["soft" if across.low < 0 and abs(value) < 1e-12 else "line"].append(
                [(across(value), begin), (across(value), end)]
            )
        if row.bound is not None:
            grid["bound"].append([(across(row.bound), begin), (across(row.bound), end)])
        for number, lane in enumerate(row.lanes):
            y = top + _NAME + _LANE * (number + 0.5)
            if lane.known:
                intervals[lane.mark.colour].append([(across(lane.low), y), (across(lane.high), y)])
                points[lane.mark].append((across(lane.value), y))
        top += row.height
    sheet.strokes(grid["line"], "line")
    sheet.strokes(grid["soft"], "soft")
    sheet.strokes(grid["bound"], "bound", 1.5, (2, 1.5))
    for colour, lines in intervals.items():
        sheet.strokes(lines, colour, 2.0)
    for mark, places in points.items():
        sheet.marks(places, mark)
