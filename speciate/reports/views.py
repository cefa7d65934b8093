"""A comparison as the values that the page's template fills in: text, numbers of arms, and drawings.

Strings here are text, not markup: the template escapes them. In tables an `int` stands for an arm, which the template
shows with its mark and its name. Nothing here is longer than a page can hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from speciate.records import Arm, Comparison, Estimate, Forgetting, Score
from speciate.reports import words
from speciate.reports.families import by_role, counted, ends, shared
from speciate.reports.plain import line
from speciate.reports.shares import Shares, shares_of

Cell = str | int

SIGNS = {"passed": "✓", "failed": "✕", "undecided": "?", "": "–"}
"""Of outcomes: a shape beside the word and the colour."""


class Table(NamedTuple):
    """Rows under a head; on a narrow screen each row becomes a list of names and cells."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


class Figure(NamedTuple):
    """A number that matters, with its interval and what it is made of."""

    name: str
    value: str
    interval: str
    lines: Sequence[str]


class ArmView(NamedTuple):
    """An arm's card."""

    number: int
    label: str
    outcome: str
    sign: str
    word: str
    front: bool
    altered: bool
    subject: str
    figures: Sequence[Figure]
    facts: Sequence[tuple[str, str]]


def arm_view(arm: Arm, number: int, several: bool) -> ArmView:
    """What is known of one arm."""
    outcome = arm.verdict or ""
    return ArmView(
        number=number,
        label=line(arm.label, 60),
        outcome=outcome,
        sign=SIGNS[outcome],
        word=words.outcome(arm),
        front=several and bool(arm.on_front),
        altered=bool(arm.intact and not arm.intact.holds),
        subject="no adapter" if arm.alone else f"{line(arm.species)} · {words.seeds(arm.seeds[:12])}",
        figures=_figures(arm),
        facts=[(name, words.typeset(fact)) for name, fact in _facts(arm, several)],
    )


def overview(arms: Sequence[Arm]) -> Table:
    """One row for each arm."""
    rows: list[list[Cell]] = [
        [
            number,
            f"{SIGNS[arm.verdict or '']} {words.outcome(arm)}",
            words.scored(arm) or "–",
            _change(arm.gain),
            _change(arm.transfer),
            _change(arm.forgetting),
            words.typeset(f"{nats.delta:+.4f} ({words.nats_bounds(nats.ci95)})")
            if arm.forgetting and (nats := arm.forgetting.nats)
            else "–",
            words.place(arm),
        ]
        for number, arm in enumerate(arms)
    ]
    changes = ["gain, points", "held out, points", "general points lost", "nats/token", "front"]
    head = ["arm", "verdict", "score, %", *changes]
    if not any(arm.alone for arm in arms):
        head, rows = head[:2] + head[3:], [row[:2] + row[3:] for row in rows]
    elif words.all_alone(arms):
        head, rows = head[:3], [row[:3] for row in rows]
    return Table(head, rows, "In brackets: 95% intervals.")


def families_table(arm: Arm, most: int) -> Table:
    """Figures of each family, or of the `most` at both ends; of a base by itself one score."""
    rows: list[list[Cell]] = []
    given = shared(arm, most)
    for role, some in by_role(arm).items():
        first, last, _ = ends(some, given[role])
        for score in (*first, *last):
            row: list[Cell] = [
                f"{words.HELD_OUT if score.held_out else ''}{line(score.family)}",
                words.ROLES[role],
                f"{score.n:,}",
                _share(score.base, score.base_ci95),
                _share(score.adapter, score.adapter_ci95),
                words.typeset(f"{words.points(score.delta)} ({words.bounds(score.delta_ci95)})"),
                words.p_value(score.p_holm),
            ]
            rows.append(row[:4] if arm.alone else row)
    head = ["family", "role", "items", "base, %", "adapter, %", "change, points", "Holm p"]
    head = [*head[:3], "score, %"] if arm.alone else head
    left_out = counted(arm) - sum(given.values())
    return Table(head, rows, f"{left_out:,} families between the ends are left out." if left_out > 0 else "")


def contrasts_table(comparison: Comparison, numbers: Mapping[str, int], most: int) -> Table:
    """Arm against arm."""
    rows: list[list[Cell]] = [
        [
            numbers.get(found.second, line(found.second, 60)),
            numbers.get(found.first, line(found.first, 60)),
            words.ROLES[found.role],
            _change(found.estimate),
            f"{found.estimate.wrong_to_right:,} / {found.estimate.right_to_wrong:,}"
            # The mean over seeds is right where all are, which says nothing beside one seed.
            if found.estimate.p_mcnemar is not None or found.estimate.seeds > 1
            else "–",
            f"{found.estimate.n:,}",
            words.p_value(found.p_holm),
        ]
        for found in comparison.contrasts[:most]
    ]
    head = ["arm", "minus", "items of", "difference, points", "only it right / wrong", "items", "Holm p"]
    return Table(head, rows, _more(comparison.contrasts, most, "differences"))


def costs(arms: Sequence[Arm]) -> Table:
    """What arms took."""
    names = list(dict.fromkeys(name for arm in arms for name in arm.cost))[:12]
    rows: list[list[Cell]] = [
        [number, *(words.amount(name, arm.cost[name]) if name in arm.cost else "–" for name in names)]
        for number, arm in enumerate(arms)
    ]
    return Table(["arm", *(line(words.cost(name), 40) for name in names)], rows if names else [])


def doubts(arms: Sequence[Arm]) -> tuple[Table, list[Shares]]:
    """Rows without a proper answer; and what was found of contamination and of the base."""
    rows: list[list[Cell]] = [
        [
            number,
            line(trouble.model, 40),
            line(trouble.reason, 40),
            f"{trouble.rows:,} of {trouble.n:,}",
            f"{trouble.share:.1%}" if trouble.n else "–",
        ]
        for number, arm in enumerate(arms)
        for trouble in arm.troubles[:20]
    ]
    found: dict[str, dict[int, str]] = {}
    for number, arm in enumerate(arms):
        if arm.contamination:
            found.setdefault("contamination", {})[number] = words.contaminated(arm.contamination)
        if arm.intact:
            found.setdefault("base", {})[number] = ": ".join(words.intactness(arm.intact))
    return Table(["arm", "model", "no proper answer", "rows", "share"], rows), [
        shares_of(key, values, len(arms)) for key, values in found.items()
    ]


def items(of: Mapping[str, int]) -> str:
    """Items of each role."""
    roles: dict[str, str] = {str(role): meaning for role, meaning in words.ROLES.items()}
    return " · ".join(f"{count:,} {roles.get(role, line(role, 40))}" for role, count in list(of.items())[:12])


def sentences(verdict: Iterable[str], most: int = 60) -> list[str]:
    """The verdict, of which no sentence is a book."""
    return [words.typeset(line(sentence, 600)) for sentence in list(verdict)[:most]]


def _figures(arm: Arm) -> list[Figure]:
    figures = [_score(score, arm) for score in arm.scores]
    if gain := arm.gain:
        gate = next((words.decided(gate) for gate in arm.gates if gate.gate == "min_gain"), "")
        figures.append(_figure("Gain on the niche", f"{words.points(gain.delta)} points", gain, gate))
    if loss := arm.forgetting:
        gate = next((words.decided(gate) for gate in arm.gates if gate.gate == "max_forgetting"), "")
        figures.append(_figure("General ability", words.moved(loss.delta), loss, gate))
    return figures


def _score(score: Score, arm: Arm) -> Figure:
    families = len(by_role(arm).get(score.role, ()))
    each = f", {score.samples} answers to each" if score.samples > 1 else ""
    return Figure(
        f"Mean score, {words.ROLES[score.role]}",
        f"{score.value:.1%}",
        f"95% interval {words.percent(score.ci95)}",
        [f"{words.count(score.n, 'item', 'items')} in {words.count(families, 'family', 'families')}{each}"],
    )


def _figure(name: str, value: str, of: Estimate | Forgetting, gate: str) -> Figure:
    seeds = f", mean of {of.seeds} seeds" if of.seeds > 1 else ""
    tested = f", McNemar p {words.p_value(of.p_mcnemar)}" if of.p_mcnemar is not None else ""
    lines = [
        f"{line(of.metric, 40)} {of.base:.1%} → {of.adapter:.1%} on {of.n:,} items{seeds}",
        f"wrong→right {of.wrong_to_right:,}, right→wrong {of.right_to_wrong:,}{tested}",
        *([line(gate, 200)] if gate else []),
    ]
    what = " of the loss" if isinstance(of, Forgetting) else ""
    interval = f"95% interval{what} {words.bounds(of.ci95)}"
    return Figure(name, words.typeset(value), words.typeset(interval), [words.typeset(one) for one in lines])


def _facts(arm: Arm, several: bool) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if arm.transfer:
        changed = words.changed(arm.transfer)
        facts.append(("Held out ◇", f"{_change(arm.transfer)} points: {line(changed, 200)}"))
    if arm.forgetting and arm.forgetting.nats:
        facts.append(("Text loss", words.text_loss(arm.forgetting.nats)))
    for drift in arm.drift[:6]:
        facts.append((f"Drift, {words.ROLES[drift.role]}", words.drifted(drift)))
    if hammer := arm.hammer:
        share = f"{hammer.solved / hammer.n:.1%}" if hammer.n else "0%"
        found = f"{share} ({words.bounds(hammer.ci95)}) of {hammer.n:,} items need no model; {words.hammered(hammer)}"
        facts.append((line(hammer.name, 20).capitalize(), found))
    for gate in arm.gates[:12]:
        if gate.gate not in ("min_gain", "max_forgetting"):
            facts.append((line(gate.gate, 40), f"{gate.outcome}: {line(gate.explanation, 200)}"))
        if gate.outcome == "undecided" and gate.n_to_decide:
            facts.append(("To decide", f"about {gate.n_to_decide:,} items would decide {line(gate.gate, 40)}"))
    # Of several arms it is told once, below; an altered base is told wherever its figures are.
    if arm.intact and not (several and arm.intact.holds):
        facts.append(("Base", ": ".join(words.intactness(arm.intact))))
    return facts


def _change(of: Estimate | Forgetting | None) -> str:
    return words.typeset(f"{words.points(of.delta)} ({words.bounds(of.ci95)})") if of else "–"


def _share(share: float, interval: tuple[float, float]) -> str:
    return f"{words.whole_points(share)} ({' to '.join(map(words.whole_points, interval))})"


def _more(of: Sequence[object], most: int, what: str) -> str:
    return f"{len(of) - most:,} more {what} are left out." if len(of) > most else ""
