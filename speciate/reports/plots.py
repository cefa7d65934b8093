"""The drawings of a comparison, as inline SVG: each a pure function of records.

Everything drawn has its 95% interval, except training curves, which have none. Colour never stands alone: arms differ
in shape, the base is an open circle, and names stand beside what they name.
"""

from collections.abc import Sequence

from speciate.records import Arm, Contrast, FamilyScore
from speciate.reports import words
from speciate.reports.families import by_role, ends, shared
from speciate.reports.plain import line
from speciate.reports.sheet import BASE, mark_of
from speciate.reports.tracks import Lane, Row, tracks

FEW = 30
"""Families of an arm that are shown one by one; more are drawn as a profile first."""
_TOGETHER = 20
_SPOKEN = 12
"""Rows that a description tells in words; the page has a table of all."""


def gains(arms: Sequence[Arm]) -> str:
    """Gain of each arm, on its niche and on families held out of training; empty where no arm has one."""
    rows: list[Row] = []
    for number, arm in enumerate(arms):
        asked = next((gate.bound for gate in arm.gates if gate.gate == "min_gain"), None)
        for estimate, what in ((arm.gain, ""), (arm.transfer, f" {words.HELD_OUT}held out")):
            if estimate:
                mark = mark_of(number)._replace(filled=not what)
                lane = Lane(estimate.delta, *estimate.ci95, mark)
                figure = _figure(estimate.delta, estimate.ci95)
                rows.append(Row(_name(arm) + what, figure, (lane,), None if what else asked))
    title = "Gain in points, with 95% intervals"
    return tracks("gain", title, _told(rows), rows, _tick) if rows else ""


def losses(arms: Sequence[Arm]) -> str:
    """What each arm forgot."""
    rows: list[Row] = []
    for number, arm in enumerate(arms):
        allowed = next((gate.bound for gate in arm.gates if gate.gate == "max_forgetting"), None)
        if loss := arm.forgetting:
            lane = Lane(loss.delta, *loss.ci95, mark_of(number))
            rows.append(Row(_name(arm), _figure(loss.delta, loss.ci95), (lane,), allowed))
    title = "Forgetting in general points, with 95% intervals; to the right of 0 is a loss"
    return tracks("forgetting", title, _told(rows), rows, _tick) if rows else ""


def contrasts(found: Sequence[Contrast], arms: Sequence[Arm]) -> str:
    """Differences between arms, those of one role together."""
    numbers = {arm.label: number for number, arm in enumerate(arms)}
    rows: list[Row] = []
    for role, meaning in words.ROLES.items():
        some = [contrast for contrast in found if contrast.role == role]
        rows += [Row(meaning.capitalize())] if some else []
        for contrast in some:
            delta, interval = contrast.estimate.delta, contrast.estimate.ci95
            lane = Lane(delta, *interval, mark_of(numbers.get(contrast.second, 0)))
            name = f"{line(contrast.second, 24)} − {line(contrast.first, 24)}"
            rows.append(Row(name, _figure(delta, interval), (lane,)))
    title = "Differences between arms in points, with 95% intervals; to the right of 0 the first named is better"
    return tracks("contrasts", title, _told(rows), rows, _tick) if rows else ""


def families(arm: Arm, number: int, most: int) -> list[tuple[str, str]]:
    """Base and adapter (or a base by itself) in each family, or in the `most` at both ends, on a scale from 0 to 100%.

    A drawing and its heading for each role, and several for many families: what is printed has to fit on a page.
    """
    drawn: list[tuple[str, str]] = []
    given = shared(arm, most)
    row_of = _family_alone if arm.alone else _family
    whose = "" if arm.alone else " of base and of adapter,"
    for role, some in by_role(arm).items():
        first, last, left_out = ends(some, given[role])
        rows = [row_of(score, number) for score in first]
        rows += [Row(f"… {left_out:,} between these …")] if left_out else []
        rows += [row_of(score, number) for score in last]
        families = words.count(len(some), "family", "families")
        for at in range(0, len(rows), _TOGETHER):
            part = rows[at : at + _TOGETHER]
            heading = f"{words.ROLES[role].capitalize()}: score in {families}{', continued' if at else ''}"
            title = f"{_name(arm)}, {heading},{whose} with 95% intervals"
            name = f"families-{number}-{len(drawn)}"
            drawing = tracks(name, title, _told(part), part, lambda share: f"{share:.0%}", (0.0, 1.0))
            drawn.append((drawing, heading))
    return drawn


def _family(score: FamilyScore, number: int) -> Row:
    lanes = (Lane(score.adapter, *score.adapter_ci95, mark_of(number)), Lane(score.base, *score.base_ci95, BASE))
    name = f"{words.HELD_OUT if score.held_out else ''}{line(score.family)}"
    return Row(name, _figure(score.delta, score.delta_ci95), lanes, score.chance or None)


def _family_alone(score: FamilyScore, number: int) -> Row:
    lane = Lane(score.base, *score.base_ci95, mark_of(number))
    name = f"{words.HELD_OUT if score.held_out else ''}{line(score.family)}"
    ends = " to ".join(map(words.whole_points, score.base_ci95))
    return Row(name, f"{words.whole_points(score.base)}% ({ends})", (lane,), score.chance or None)


def spreads(arms: Sequence[Arm]) -> str:
    """How uneven base and adapter are."""
    rows: list[Row] = []
    for number, arm in enumerate(arms):
        if arm.spread:
            base, adapter = arm.spread
            lanes = (Lane(adapter.value, *adapter.ci95, mark_of(number)), Lane(base.value, *base.ci95, BASE))
            rows.append(Row(_name(arm), f"{words.spread(base)} → {words.spread(adapter)}", lanes))
    title = "Spread between families, with 95% intervals; further right is more uneven"
    return tracks("spread", title, _told(rows), rows, lambda value: f"{value:.1f}", (0.0, 0.5)) if rows else ""


def _name(arm: Arm) -> str:
    return line(arm.label, 40)


def _figure(delta: float, interval: tuple[float, float]) -> str:
    return words.typeset(f"{words.points(delta)} ({words.bounds(interval)})")


def _tick(share: float) -> str:
    return words.typeset(f"{100 * share:+.3g}") if abs(share) > 1e-12 else "0"


def _told(rows: Sequence[Row]) -> str:
    figures = [f"{row.name}: {row.figure}" for row in rows if row.lanes]
    more = f"; and {len(figures) - _SPOKEN} more" if len(figures) > _SPOKEN else ""
    return "; ".join(figures[:_SPOKEN]) + more
