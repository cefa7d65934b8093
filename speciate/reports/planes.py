"""Drawings with two scales: gain against forgetting, training over its steps, and the profile of many families.

Inline SVG; pure functions of records. See `plots` for rows of intervals.
"""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

from speciate.records import Arm, CurvePoint, FamilyScore
from speciate.reports import words
from speciate.reports.families import by_role
from speciate.reports.plain import line
from speciate.reports.sheet import WIDTH, Mark, Scale, Sheet, fitted, mark_of, scale, width_of
from speciate.reports.svg import TEXT

_LEFT, _RIGHT, _TOP, _BOTTOM = 42.0, 350.0, 26.0, 38.0
_SMALL = 11.5
_MOST_POINTS = 200
"""Of one training curve; more cannot be told apart."""

Point = tuple[float, float]


class Box(NamedTuple):
    """Where a text or a mark lies."""

    left: float
    top: float
    right: float
    bottom: float

    def shared_with(self, other: "Box") -> float:
        """Area of both."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)


def plane(arms: Sequence[Arm]) -> str:
    """Gain to the right, forgetting downwards, both with intervals, and the front; empty where no arm has both."""
    known = [
        (number, arm.label, arm.gain, arm.forgetting, arm.on_front)
        for number, arm in enumerate(arms)
        if arm.gain and arm.forgetting and all(map(isfinite, (*arm.gain.ci95, *arm.forgetting.ci95)))
    ]
    if not known:
        return ""
    sheet = Sheet(320)
    # A place needs no zero to be read, unlike a length: the difference between arms is what matters.
    across = scale([end for _, _, gain, _, _ in known for end in gain.ci95], _LEFT, _RIGHT, 0.1, 0.02)
    # Nothing lost is at the top: up is better, as right is.
    down = scale([0.0, *(end for _, _, _, loss, _ in known for end in loss.ci95)], _TOP, sheet.height - _BOTTOM)
    _grid(sheet, across, down, _points_tick, _points_tick)
    sheet.write(_LEFT, 13, "general points lost (up is better)", "soft")
    sheet.write(_RIGHT, sheet.height - 5, "points gained (right is better)", "soft", side="right")
    front = sorted((gain.delta, loss.delta) for _, _, gain, loss, on_front in known if on_front)
    steps: list[Point] = []
    taken: list[Box] = []
    for gained, lost in reversed(front):
        steps += [(across(gained), steps[-1][1])] if steps else [(across(gained), down(down.high))]
        steps.append((across(gained), down(lost)))
    if len(front) > 1:
        steps.append((across(across.low), steps[-1][1]))
        sheet.strokes([steps], "soft", 1.0, (4, 3))
        taken += [_around(steps[at : at + 2]) for at in range(len(steps) - 1)]
    centres = {number: (across(gain.delta), down(loss.delta)) for number, _, gain, loss, _ in known}
    taken.append(Box(_LEFT, down(0.0) - 1, _RIGHT, down(0.0) + 1))
    taken += [Box(x - 6, y - 6, x + 6, y + 6) for x, y in centres.values()]
    for number, _, gain, loss, on_front in known:
        x, y = centres[number]
        mark = mark_of(number)
        lines = [[(across(end), y) for end in gain.ci95], [(x, down(end)) for end in loss.ci95]]
        sheet.strokes(lines, mark.colour, 1.5)
        sheet.marks([(x, y)], mark._replace(filled=bool(on_front)), 9)
        taken += [_around(one) for one in lines]
    for number, label, *_ in known:
        text = fitted(line(label, 40), 120)
        x, y = _place(centres[number], width_of(text), taken, sheet.height - _BOTTOM)
        taken.append(Box(x, y - TEXT + 1, x + width_of(text), y + 2))
        sheet.write(x, y, text, bold=True)
    told = "; ".join(
        f"{line(label, 40)}: gains {words.points(gain.delta)} ({words.bounds(gain.ci95)}), "
        f"{words.moved(loss.delta)} ({words.bounds(loss.ci95)}){', on the front' if on_front else ''}"
        for _, label, gain, loss, on_front in known
    )
    return sheet.svg("plane", "Gain and forgetting of each arm, with 95% intervals", told)


def curves(arms: Sequence[Arm], name: str, title: str, of: Callable[[CurvePoint], float | None]) -> str:
    """One figure of training over its steps, a line for each arm; empty where nothing was recorded."""
    lines: dict[int, list[Point]] = {}
    for number, arm in enumerate(arms):
        told = ((point.step, of(point)) for point in arm.curve)
        points = [(float(step), value) for step, value in told if value is not None and isfinite(value)]
        if points:
            stride = -(-len(points) // _MOST_POINTS)
            lines[number] = [*points[:: stride or 1], *([points[-1]] if (len(points) - 1) % stride else [])]
    if not lines:
        return ""
    sheet = Sheet(220)
    labels = {number: fitted(line(arms[number].label, 40), 96) for number in lines}
    right = _RIGHT - (max(map(width_of, labels.values())) + 12 if len(arms) > 1 else 6)
    across = scale([0.0, *(step for points in lines.values() for step, _ in points)], _LEFT, right, 0.0, 1.0)
    down = scale([0.0, *(value for points in lines.values() for _, value in points)], sheet.height - _BOTTOM, _TOP)
    down = down._replace(low=0.0) if down.low < 0 <= min(v for p in lines.values() for _, v in p) else down
    _grid(sheet, across, down, lambda step: f"{step:,.0f}", lambda value: f"{value:.3g}")
    sheet.write(_LEFT, 13, title, "soft")
    sheet.write(right, sheet.height - 5, "step", "soft", side="right")
    ends: list[tuple[float, int]] = []
    for number, points in lines.items():
        mark = mark_of(number)
        drawn = [(across(step), down(value)) for step, value in points]
        sheet.strokes([drawn], mark.colour, 1.5)
        apart = max(1, len(drawn) // 8)
        # Shapes along the line, at other places for other arms, tell lines apart without colour.
        sheet.marks(drawn if len(drawn) <= 12 else drawn[apart // 2 + number % apart :: apart], mark, 5)
        ends.append((drawn[-1][1], number))
    if len(arms) > 1:
        for y, number in _apart(sorted(ends), TEXT + 1, _TOP, sheet.height - _BOTTOM - 5):
            sheet.write(right + 8, y + 4, labels[number])
    told = "; ".join(
        f"{line(arms[number].label, 40)}: from {points[0][1]:.3g} to {points[-1][1]:.3g} at step {points[-1][0]:,.0f}"
        for number, points in lines.items()
    )
    return sheet.svg(name, f"{title}, over the steps of training", told)


def profile(arm: Arm, number: int) -> str:
    """Families from best to worst, of base and of adapter each in its own order: flat is even, steep is jagged.

    A base by itself is one line.
    """
    scores = [score for some in by_role(arm).values() for score in some]
    sheet = Sheet(210)
    across = Scale(0.0, 1.0, _LEFT, _RIGHT)
    down = Scale(0.0, 1.0, sheet.height - _BOTTOM, _TOP)
    _grid(sheet, across, down, _share, _share)
    sheet.write(_LEFT, 13, "score", "soft")
    sheet.write(_RIGHT, sheet.height - 5, "share of families, best first", "soft", side="right")
    last: list[Point] = []
    models = [
        ("base", "o", [(score.base, score.base_ci95) for score in scores]),
        (mark_of(number).colour, mark_of(number).shape, [(score.adapter, score.adapter_ci95) for score in scores]),
    ]
    for colour, shape, rows in models[1:] if arm.alone else models:
        best = sorted((row for row in rows if isfinite(row[0])), reverse=True)
        if not best:
            continue
        xs = [across((at + 0.5) / len(best)) for at in range(len(best))]
        middle = [(x, down(value)) for x, (value, _) in zip(xs, best, strict=True)]
        sheet.band(
            [(x, down(ends[0])) for x, (_, ends) in zip(xs, best, strict=True)],
            [(x, down(ends[1])) for x, (_, ends) in zip(xs, best, strict=True)],
            colour,
        )
        sheet.strokes([middle], colour, 2.0, (4, 2) if colour == "base" else ())
        sheet.marks(middle[:: max(1, len(middle) // 12)], Mark(shape, colour, filled=colour != "base"), 5)
        last.append(middle[len(middle) // 3])
    whose = "the base" if arm.alone else "base and adapter"
    title = f"Profile of {whose} over {len(scores):,} families, with 95% bands: {line(arm.label, 40)}"
    return sheet.svg(f"profile-{number}", title, _spread(arm))


def changes(arm: Arm, number: int) -> str:
    """The change in every family of a role as one strip of intervals, from worst to best, for many families."""
    roles = by_role(arm)
    ends = [end for some in roles.values() for score in some for end in score.delta_ci95]
    above, each, below = 26.0, 104.0, 24.0
    sheet = Sheet(len(roles) * (above + each + below))
    told: list[str] = []
    for at, (role, some) in enumerate(roles.items()):
        ordered = [score for score in reversed(some) if all(map(isfinite, (score.delta, *score.delta_ci95)))]
        top = at * (above + each + below) + above
        down = scale([*ends, 0.0], top + each, top)
        across = Scale(0.0, max(1.0, len(ordered)), _LEFT, _RIGHT)
        _grid(sheet, across, down, None, _points_tick)
        mark = mark_of(number)._replace(filled=role != "transfer")
        worse = sum(score.delta_ci95[1] < 0 for score in ordered)
        better = sum(score.delta_ci95[0] > 0 for score in ordered)
        heading = (
            f"{words.ROLES[role].partition(' of ')[0].capitalize()}, {words.count(len(some), 'family', 'families')}"
        )
        sheet.write(_LEFT, top - 9, heading, bold=True)
        sheet.write(_RIGHT, top - 9, f"{better:,} above 0, {worse:,} below", "soft", side="right")
        size = min(5.0, max(2.0, 0.9 * (_RIGHT - _LEFT) / max(1, len(ordered))))
        places = [(across(place + 0.5), score) for place, score in enumerate(ordered)]
        sheet.strokes([[(x, down(end)) for end in score.delta_ci95] for x, score in places], mark.colour, 1.0)
        sheet.marks([(x, down(score.delta)) for x, score in places], mark, size)
        _name_ends(sheet, ordered, top + each + 13)
        told.append(f"{heading}: {better:,} above 0 and {worse:,} below with their whole interval")
    title = f"Change in each family in points, with 95% intervals, from worst to best: {line(arm.label, 40)}"
    return sheet.svg(f"changes-{number}", title, "; ".join(told))


def _name_ends(sheet: Sheet, ordered: Sequence[FamilyScore], base: float) -> None:
    if len(ordered) < 2:
        return
    worst, best = ordered[0], ordered[-1]
    half = (_RIGHT - _LEFT) / 2 - 8
    for score, x, side in ((worst, _LEFT, "left"), (best, _RIGHT, "right")):
        figure = words.typeset(words.points(score.delta))
        name = fitted(line(score.family), half - width_of(figure, _SMALL) - 8, _SMALL)
        sheet.write(x, base, f"{name} {figure}", "soft", _SMALL, "left" if side == "left" else "right")


def _spread(arm: Arm) -> str:
    if not arm.spread:
        return "Each model's families are in its own order."
    return f"Spread: {words.spreads(arm)}."


def _grid(
    sheet: Sheet, across: Scale, down: Scale, x: Callable[[float], str] | None, y: Callable[[float], str]
) -> None:
    top, bottom = sorted((down.start, down.end))
    if x:
        for value in across.ticks(5):
            sheet.strokes([[(across(value), top), (across(value), bottom)]], "line")
            sheet.write(across(value), bottom + 15, x(value), "soft", side="center")
    for value in down.ticks(4):
        nothing = abs(value) < 1e-12
        sheet.strokes([[(across.start, down(value)), (across.end, down(value))]], "soft" if nothing else "line")
        sheet.write(across.start - 5, down(value) + 4, y(value), "soft", side="right")


def _place(centre: Point, width: float, taken: Sequence[Box], bottom: float) -> Point:
    """Where a name beside a mark covers least of what is there."""
    x, y = centre
    tried: list[tuple[float, int, Point]] = []
    sides = [(9.0, -6.0), (9.0, 14.0), (-9.0 - width, -6.0), (-9.0 - width, 14.0)]
    sides += [(-width / 2, -10.0), (-width / 2, 20.0), (9.0, -20.0), (9.0, 28.0), (-9.0 - width, -20.0)]
    for order, (right, lower) in enumerate(sides):
        at = (x + right, y + lower)
        box = Box(at[0], at[1] - TEXT + 1, at[0] + width, at[1] + 2)
        outside = max(0.0, _LEFT - box.left) + max(0.0, box.right - WIDTH + 2)
        outside += max(0.0, _TOP - box.top) + max(0.0, box.bottom - bottom)
        tried.append((sum(map(box.shared_with, taken)) + 40 * outside, order, at))
    return min(tried)[2]


def _around(points: Sequence[Point]) -> Box:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Box(min(xs) - 1, min(ys) - 1, max(xs) + 1, max(ys) + 1)


def _apart(places: Sequence[tuple[float, int]], least: float, top: float, bottom: float) -> list[tuple[float, int]]:
    """The same places from top to bottom, moved until no two are nearer than `least`."""
    moved: list[tuple[float, int]] = []
    for y, number in places:
        moved.append((max(y, moved[-1][0] + least) if moved else max(y, top), number))
    limit = bottom
    for at in range(len(moved) - 1, -1, -1):
        moved[at] = (min(moved[at][0], limit), moved[at][1])
        limit = moved[at][0] - least
    return moved


def _points_tick(share: float) -> str:
    return words.typeset(f"{100 * share:.3g}") if abs(share) > 1e-12 else "0"


def _share(share: float) -> str:
    return f"{share:.0%}"
