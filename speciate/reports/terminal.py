"""Runs and registry entries as a person reads them in a terminal, and the pieces that such reports are made of.

Makes rich renderables from records, and measures nothing. What stands in a record was written by others: it is shown
as plain text, its markup and its control characters too. Colour only repeats what a word says, so that nothing is lost
without it (NO_COLOR, a pipe, a log).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from speciate.records import (
    Baseline,
    Drift,
    Estimate,
    FamilyScore,
    Findings,
    Forgetting,
    GateResult,
    Intact,
    Outcome,
    RunRecord,
)
from speciate.reports import choices, words
from speciate.reports.plain import line, plain
from speciate.reports.words import HELD_OUT, MEANINGS

COLOURS: dict[Outcome, str] = {"passed": "green", "failed": "red", "undecided": "yellow"}
ADVICE: dict[tuple[str, Outcome], str] = {
    ("min_gain", "failed"): "train on more (data.train_items, train.epochs) or grow on a larger base",
    ("max_forgetting", "failed"): "raise guard.replay, or lower train.learning_rate or train.epochs",
    ("min_gain", "undecided"): "raise data.test_items",
    ("max_forgetting", "undecided"): "raise evals.general_items",
}
"""What to change in the recipe after a gate that did not pass."""

Row = tuple[str, RenderableType]


def text(renderable: RenderableType) -> str:
    """What stdout would show: in colour only on a terminal, at its width, in characters that it can write."""
    console = Console()
    with console.capture() as captured:
        console.print(renderable)
    shown = "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())
    return shown.encode(console.encoding, errors="replace").decode(console.encoding)


def said(*parts: str | Text | tuple[str, str]) -> Text:
    """Words, some of them in a style."""
    return Text.assemble(*parts, overflow="fold")


def stack(*parts: RenderableType) -> RenderableType:
    """One below the other."""
    return Group(*parts)


def render_run(record: RunRecord) -> RenderableType:
    """A whole run: verdict, figures, families, cost, where the files are and what to do next."""
    phases = {phase: taken for phase, taken in record.seconds.items() if phase != "total"}
    seconds = " · ".join(f"{plain(phase)} {words.duration(taken)}" for phase, taken in phases.items())
    data = f"{record.data.rows:,} rows ({record.data.replay_rows:,} replayed), none of them an evaluation item"
    rows: list[Row] = [
        ("Time", Text(f"{words.duration(sum(phases.values()))} = {seconds}")),
        ("Speed", Text(f"{record.tokens_per_second:,.0f} tokens/s on {plain(record.device, record.precision)}")),
        ("Memory", Text(f"{words.size(record.peak_memory_bytes)} at most, without the verifier's process")),
        ("Data", Text(data)),
        *([("Overlap", Text(words.contaminated(record.contamination)))] if record.contamination else []),
        *(("No answer", Text(plain(words.improper(trouble)))) for trouble in record.troubles),
        ("Adapter", _path(record.adapter)),
        ("Run", _path(record.run_dir)),
        *(("Note", Text(plain(note))) for note in record.notes),
    ]
    subject = f"{plain(record.run)} · seed {record.seed}"
    return Group(
        headlined(record.species, subject, record.verdict),
        evidence(record, record.drift),
        families(record.families, record.general),
        facts(rows),
        next_steps(record.gates, f"speciate registry show {_short(record.adapter_digest)}"),
    )


def headlined(species: str, subject: str, verdict: Outcome) -> RenderableType:
    """A verdict in a frame, and of what."""
    title = Text.assemble(badge(verdict), "  ", (plain(species), "bold"))
    return headline(title, [MEANINGS[verdict]], subject, COLOURS[verdict])


def headline(title: Text, lines: Iterable[str], subject: str, colour: str) -> RenderableType:
    """A frame round what comes first."""
    framed = [title, *(Text(plain(line), style=colour) for line in lines)]
    if subject:
        framed.append(Text(plain(subject), style="dim"))
    for part in framed:
        part.overflow = "fold"
    return Panel(Group(*framed), border_style=colour, box=box.ROUNDED)


def badge(verdict: Outcome | None, otherwise: str = words.NOT_ASKED) -> Text:
    """A verdict as a word that catches the eye, or what is there instead."""
    if verdict is None:
        return Text(f" {otherwise.upper()} ", style="bold reverse")
    return Text(f" {verdict.upper()} ", style=f"bold reverse {COLOURS[verdict]}")


def evidence(of: Findings, drifts: Iterable[Drift] = ()) -> RenderableType:
    """What was measured, and what the gates say of it."""
    outcomes = {gate.gate: gate for gate in of.gates}
    rows: list[Row] = [
        ("Gain", _gain(of.gain, outcomes.pop("min_gain", None))),
        *([("Transfer", _gain(of.transfer, None))] if of.transfer else []),
        *([("Hammer", _hammer(of.hammer))] if of.hammer else []),
        ("Forgetting", _forgetting(of.forgetting, outcomes.pop("max_forgetting", None))),
    ]
    if nats := of.forgetting.nats:
        rows.append(("Text loss", Text(words.text_loss(nats))))
    rows += [("Drift", Text(f"{words.ROLES[drift.role]}: {words.drifted(drift)}")) for drift in drifts]
    for gate in outcomes.values():
        rows.append(("Gate", Text.assemble(plain(gate.gate, gate.explanation), ": ", _outcome(gate))))
    rows += [(choices.MEANING[name], Text(plain(choices.told(name, chosen)))) for name, chosen in of.chosen.items()]
    rows.append(("Base", intact_line(of.intact)))
    return facts(rows)


def _gain(gain: Estimate, gate: GateResult | None) -> Text:
    line = Text.assemble((f"{words.points(gain.delta)} points", "bold"), f" (95% interval {words.bounds(gain.ci95)})")
    return _decided(line, gate).append(f"\n{plain(words.changed(gain))}")


def _hammer(hammer: Baseline) -> Text:
    return Text.assemble(
        (f"{100 * hammer.solved / hammer.n:.1f}% need no model", "bold"),
        f" (95% interval {words.bounds(hammer.ci95)}): Lean's own automation, on {hammer.n:,} of the items",
        f"\n{words.hammered(hammer)}",
    )


def _forgetting(loss: Forgetting, gate: GateResult | None) -> Text:
    line = Text.assemble((words.moved(loss.delta), "bold"), f" (95% interval of the loss {words.bounds(loss.ci95)})")
    return _decided(line, gate).append(f"\n{plain(words.changed(loss))}")


def _decided(line: Text, gate: GateResult | None) -> Text:
    return line.append("\n").append_text(_outcome(gate)).append(f": {plain(words.decided(gate))}") if gate else line


def _outcome(gate: GateResult) -> Text:
    return Text(gate.outcome, style=f"bold {COLOURS[gate.outcome]}")


def intact_line(intact: Intact) -> Text:
    """Whether the base is what it was."""
    word, found = words.intactness(intact)
    return Text.assemble((word, f"bold {'green' if intact.holds else 'red'}"), f": {found}")


def families(families: Sequence[FamilyScore], general: Sequence[FamilyScore] = ()) -> RenderableType:
    """The families of the niche and of the general suite, as bars."""
    if not families and not general:
        return Text("")
    ordered = [*sorted(families, key=lambda score: score.held_out), *(["general:"] if general else []), *general]
    legend = "bars: mean score; change: adapter minus base, in points (95% interval)"
    if any(score.held_out for score in families):
        legend += f"; {HELD_OUT}held out of training"
    return Padding(Group(family_table(ordered), Text(legend, style="dim")), (0, 0, 1, 1))


def family_table(families: Iterable[FamilyScore | str]) -> Table:
    """A line for each family, in the order given: base and adapter as bars, and how they differ; words stay words."""
    drawn = table("family", base="", adapter="", change="right", items="right")
    for score in families:
        if isinstance(score, str):
            drawn.add_row(Text(plain(score), style="dim"))
            continue
        drawn.add_row(
            Text(f"{HELD_OUT if score.held_out else ''}{line(score.family, 100)}"),
            bar(score.base, "blue"),
            bar(score.adapter, "magenta"),
            Text(f"{words.whole_points(score.delta, True)} ({' to '.join(map(words.whole_points, score.delta_ci95))})"),
            Text(f"{score.n:,}", style="dim"),
        )
    return drawn


def bar(share: float, colour: str, width: int = 12) -> Text:
    """A share as a bar and as a number."""
    held = min(max(share, 0.0), 1.0)
    whole, eighths = divmod(round(held * width * 8), 8)
    drawn = "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()
    return Text.assemble((drawn, colour), ("·" * (width - len(drawn)), "dim"), f"{held:>5.0%}")


def table(first: str, /, **columns: Literal["", "right"]) -> Table:
    """An empty table; its first column is folded, the others are never."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column(first, overflow="fold")
    for name, side in columns.items():
        made.add_column(name.replace("_", " "), no_wrap=True, justify=side or "left")
    return made


def facts(rows: Iterable[Row]) -> RenderableType:
    """Labels, and what is said under each."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, width=10)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    return Padding(grid, (0, 0, 1, 1))


def next_steps(gates: Iterable[GateResult], otherwise: str) -> RenderableType:
    """What to do now."""
    lines: list[str] = []
    for gate in gates:
        advice = ADVICE.get((gate.gate, gate.outcome), f"see the gate {plain(gate.gate)}")
        if gate.outcome == "undecided" and gate.n_to_decide:
            lines.append(f"{advice}: about {gate.n_to_decide:,} items would decide it, there were {gate.n:,}")
        elif gate.outcome == "undecided":
            lines.append(f"{plain(gate.gate)}: too close to its bound for more items to decide it; move the bound")
        elif gate.outcome == "failed":
            lines.append(advice)
    return facts([("Next", Text(line, style="bold")) for line in lines or [otherwise]])


def _path(path: str | Path) -> Text:
    return Text(plain(path), overflow="fold")


def _short(digest: object) -> str:
    return words.short(plain(digest))
