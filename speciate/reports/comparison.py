"""A comparison as a person reads it in a terminal: what the page shows, in text.

Makes renderables of the pieces in `terminal`, and measures nothing. All text of a record goes through `line`, which
shortens it. Where
there is more than a screen takes, the ends are shown and what is left out is counted.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from speciate.records import Arm, Comparison, Estimate, FamilyScore, Forgetting, Outcome
from speciate.reports import terminal, words
from speciate.reports.families import by_role, counted, ends, shared
from speciate.reports.flips import Shown, fair, texts
from speciate.reports.plain import line
from speciate.reports.shares import recipe

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_FAMILIES = 30
"""Of an arm; of many arms each shows fewer."""
MOST_CONTRASTS = 30
MOST_FLIPS = 3
_WORST_FIRST = sorted(terminal.COLOURS.items(), key=lambda pair: ("failed", "undecided", "passed").index(pair[0]))
_FLIP = 0.15
"""Of what the page shows of a flip's texts."""


def render_comparison(comparison: Comparison) -> "RenderableType":
    """The whole comparison."""
    arms = comparison.arms
    most = MOST_FAMILIES if len(arms) < 4 else MOST_FAMILIES // 3
    families = [part for arm in arms if counted(arm) for part in _families(arm, most)]
    return terminal.stack(
        _verdict(comparison),
        *([] if words.all_alone(arms) else [_arms(arms)]),
        *(part for arm in arms for part in _details(arm)),
        *families,
        *([_muted(words.SPREAD), _blank()] if any(arm.spread for arm in arms) else []),
        *_contrasts(comparison),
        *_flips(comparison),
        *_recipe(comparison),
        terminal.facts(_notes(comparison)),
    )


def _verdict(comparison: Comparison) -> "RenderableType":
    arms = comparison.arms
    title = terminal.said()
    for number, arm in enumerate(arms):
        title.append("\n" if number else "").append_text(terminal.badge(arm.verdict, words.outcome(arm))).append(
            f"  {line(arm.label, 60)}", "bold"
        )
    items = " · ".join(
        f"{count:,} {words.ROLES.get(role, role)}" for role, count in list(comparison.items.items())[:12]
    )
    outcomes: set[Outcome | None] = {arm.verdict for arm in arms}
    colour = next((colour for outcome, colour in _WORST_FIRST if outcome in outcomes), "none")
    return terminal.headline(
        title, [line(sentence, 600) for sentence in comparison.verdict[:60]], f"items: {items}" if items else "", colour
    )


def _arms(arms: Sequence[Arm]) -> "RenderableType":
    """A figure over its interval, for each arm and each thing that some arm has."""
    columns: dict[str, Callable[[Arm], str]] = {
        "score, %": lambda arm: words.scored(arm).replace("; ", "\n"),
        "gain": lambda arm: _change(arm.gain),
        "held out": lambda arm: _change(arm.transfer),
        "lost": lambda arm: _change(arm.forgetting),
        "nats/token": _nats,
        "front": lambda arm: words.place(arm) if len(arms) > 1 and arm.on_front is not None else "",
    }
    shown = {name: of for name, of in columns.items() if any(of(arm) for arm in arms)}
    sides: dict[str, Literal["", "right"]] = dict.fromkeys(shown, "")
    table = terminal.table("arm", **sides)
    for arm in arms:
        table.add_row(
            terminal.said((line(arm.label, 60), "bold")), *(terminal.said(of(arm) or "-") for of in shown.values())
        )
    return terminal.stack(table, _muted("points, and under them the 95% interval; lost: of general ability"), _blank())


def _details(arm: Arm) -> list["RenderableType"]:
    if arm.alone:
        return []
    rows: list[terminal.Row] = []
    for name, of in (("Gain", arm.gain), ("Held out", arm.transfer), ("Forgetting", arm.forgetting)):
        if of:
            rows.append((name, terminal.said(line(words.changed(of), 200))))
    for gate in arm.gates[:12]:
        words_of = line(f"{gate.gate} {gate.outcome}: {words.decided(gate)}", 200)
        rows.append(("Gate", terminal.said((words_of, terminal.COLOURS[gate.outcome]))))
    for drift in arm.drift[:6]:
        rows.append(("Drift", terminal.said(f"{words.ROLES[drift.role]}: {words.drifted(drift)}")))
    if found := words.spreads(arm):
        rows.append(("Spread", terminal.said(found)))
    if arm.intact:
        rows.append(("Base", terminal.intact_line(arm.intact)))
    title = terminal.said(
        (line(arm.label, 60), "bold"), (f"  {line(arm.species)} {words.seeds(arm.seeds[:12])}", "dim")
    )
    return [title, terminal.facts(rows)]


def _families(arm: Arm, most: int) -> list["RenderableType"]:
    given = shared(arm, most)
    rows: list[FamilyScore | str] = []
    for role, some in by_role(arm).items():
        first, last, left_out = ends(some, given[role])
        gap = [f"… {left_out:,} {words.ROLES[role]} between …"] if left_out else []
        rows += [*first, *gap, *last]
    title = terminal.said((line(arm.label, 60), "bold"), f"  {words.count(counted(arm), 'family', 'families')}")
    if arm.alone:
        return [title, _score_table(rows), _muted("bars: mean score, and its 95% interval in points"), _blank()]
    legend = "bars: mean score; change: adapter minus base, in points (95% interval)"
    if any(score.held_out for score in arm.families):
        legend += f"; {words.HELD_OUT}held out of training"
    return [title, terminal.family_table(rows), _muted(legend), _blank()]


def _score_table(families: Sequence[FamilyScore | str]) -> "RenderableType":
    """A line for each family of a base by itself; words stay words."""
    drawn = terminal.table("family", score="", interval="right", items="right")
    for score in families:
        if isinstance(score, str):
            drawn.add_row(terminal.said((score, "dim")))
            continue
        name = f"{words.HELD_OUT if score.held_out else ''}{line(score.family, 100)}"
        interval = " to ".join(map(words.whole_points, score.base_ci95))
        drawn.add_row(
            terminal.said(name),
            terminal.bar(score.base, "blue"),
            terminal.said(interval),
            terminal.said((f"{score.n:,}", "dim")),
        )
    return drawn


def _contrasts(comparison: Comparison) -> list["RenderableType"]:
    if not comparison.contrasts:
        return []
    table = terminal.table("arm - other", items="", points="right", p="right")
    for found in comparison.contrasts[:MOST_CONTRASTS]:
        delta = f"{words.points(found.estimate.delta)} ({words.bounds(found.estimate.ci95)})"
        table.add_row(
            terminal.said(f"{line(found.second, 60)} - {line(found.first, 60)}"),
            terminal.said(words.ROLES[found.role]),
            terminal.said(delta),
            terminal.said(words.p_value(found.p_holm)),
        )
    more = len(comparison.contrasts) - MOST_CONTRASTS
    left_out = f"; {more:,} more differences" if more > 0 else ""
    legend = f"each arm against the first; p: McNemar, corrected by Holm{left_out}"
    return [table, _muted(legend), _blank()]


def _flips(comparison: Comparison) -> list["RenderableType"]:
    total = max(comparison.flips_total, len(comparison.flips))
    if not total:
        return []
    chosen = fair(comparison.flips)[:MOST_FLIPS]
    shown: list[RenderableType] = [
        terminal.said((f"{words.count(total, 'answer', 'answers')} changed", "bold"), f"; {len(chosen)} of them:")
    ]
    for flip in chosen:
        cut = texts(flip, _FLIP)
        way = ("▼ right→wrong", "red") if cut.lost else ("▲ wrong→right", "green")
        shown += [
            terminal.said(way, "  ", f"{cut.arm} · {cut.family}"),
            terminal.facts(
                (name, terminal.said(_lines(text)))
                for name, text in (
                    ("prompt", cut.prompt),
                    ("base", cut.base),
                    ("adapter", cut.adapter),
                    ("verifier", cut.detail._replace(head=f"{cut.reason}: {cut.detail.head}".rstrip(": \n"))),
                )
                if text.head
            ),
        ]
    return shown


def _lines(shown: Shown) -> str:
    """With its line ends, since a proof is read by its lines; every other character is already one with a picture."""
    left_out = f" [… {shown.left_out:,} characters …] " if shown.left_out else ""
    return f"{shown.head}{left_out}{shown.tail}".expandtabs(2)


def _recipe(comparison: Comparison) -> list["RenderableType"]:
    labels = [line(arm.label, 60) for arm in comparison.arms]
    shown: list[RenderableType] = []
    for row in recipe(comparison, len(labels)):
        for value, numbers in row.values:
            whose = ", ".join(labels[number] for number in numbers) or "all"
            shown.append(terminal.said((row.key, "dim"), f"  {line(value, 200)}  ", (whose, "bold")))
    return [terminal.said(("Recipes differ", "bold")), *shown, _blank()] if shown else []


def _notes(comparison: Comparison) -> list[terminal.Row]:
    rows: list[terminal.Row] = []
    for role, count in list(comparison.left_out.items())[:12]:
        found = f"{count:,} {words.ROLES.get(role, role)} items, which not all arms answered"
        rows.append(("Left out", terminal.said(line(found, 300))))
    for arm in comparison.arms:
        for trouble in arm.troubles[:20]:
            found = f"{line(arm.label, 60)}: {words.improper(trouble)}"
            rows.append(("No answer", terminal.said(line(found, 300))))
        if arm.contamination:
            rows.append(("Leaks", terminal.said(f"{line(arm.label, 60)}: {words.contaminated(arm.contamination)}")))
        if arm.cost:
            cost = " · ".join(words.quantity(name, value) for name, value in list(arm.cost.items())[:12])
            rows.append(("Cost", terminal.said(f"{line(arm.label, 60)}: {line(cost, 400)}")))
    return rows


def _change(of: Estimate | Forgetting | None) -> str:
    return f"{words.points(of.delta)}\n{words.bounds(of.ci95)}" if of else ""


def _nats(arm: Arm) -> str:
    nats = arm.forgetting.nats if arm.forgetting else None
    return f"{nats.delta:+.4f}\n{words.nats_bounds(nats.ci95)}" if nats else ""


def _muted(text: str) -> "RenderableType":
    return terminal.said((text, "dim"))


def _blank() -> "RenderableType":
    return terminal.said()
