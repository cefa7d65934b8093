"""Runs and registry entries as a person reads them in a terminal.

Makes rich renderables from records, and measures nothing. What stands in a record was written by others: it is shown
as plain text, its markup and its control characters too. Colour only repeats what a word says, so that nothing is lost
without it (NO_COLOR, a pipe, a log).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from speciate.records import (
    AdapterCard,
    Baseline,
    Estimate,
    FamilyScore,
    Forgetting,
    GateResult,
    Intact,
    Outcome,
    RunRecord,
)
from speciate.reports.plain import plain

COLOURS: dict[Outcome, str] = {"passed": "green", "failed": "red", "undecided": "yellow"}
MEANINGS: dict[Outcome, str] = {
    "passed": "every gate of the recipe was passed",
    "failed": "a gate of the recipe failed; read why before using this adapter",
    "undecided": "too few items to say: neither proved nor refuted",
}
ADVICE: dict[tuple[str, Outcome], str] = {
    ("min_gain", "failed"): "train on more (data.train_items, train.epochs) or grow on a larger base",
    ("max_forgetting", "failed"): "raise guard.replay, or lower train.learning_rate or train.epochs",
    ("min_gain", "undecided"): "raise data.test_items",
    ("max_forgetting", "undecided"): "raise evals.general_items",
}
"""What to change in the recipe after a gate that did not pass."""

HELD_OUT = "◇ "

Row = tuple[str, RenderableType]


class Evidence(Protocol):
    """What runs and cards have in common."""

    @property
    def verdict(self) -> Outcome: ...
    @property
    def gates(self) -> list[GateResult]: ...
    @property
    def gain(self) -> Estimate: ...
    @property
    def transfer(self) -> Estimate | None: ...
    @property
    def forgetting(self) -> Forgetting: ...
    @property
    def families(self) -> list[FamilyScore]: ...
    @property
    def hammer(self) -> Baseline | None: ...
    @property
    def intact(self) -> Intact: ...


def text(renderable: RenderableType) -> str:
    """What stdout would show: in colour only on a terminal, at its width, in characters that it can write."""
    console = Console()
    with console.capture() as captured:
        console.print(renderable)
    shown = "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())
    return shown.encode(console.encoding, errors="replace").decode(console.encoding)


def render_run(record: RunRecord) -> RenderableType:
    """A whole run: verdict, figures, families, cost, where the files are and what to do next."""
    phases = {phase: taken for phase, taken in record.seconds.items() if phase != "total"}
    seconds = " · ".join(f"{plain(phase)} {_duration(taken)}" for phase, taken in phases.items())
    data = f"{record.data.rows:,} rows ({record.data.replay_rows:,} replayed), none of them an evaluation item"
    rows: list[Row] = [
        ("Time", Text(f"{_duration(sum(phases.values()))} = {seconds}")),
        ("Speed", Text(f"{record.tokens_per_second:,.0f} tokens/s on {plain(record.device, record.precision)}")),
        ("Memory", Text(f"{_size(record.peak_memory_bytes)} at most, without the verifier's process")),
        ("Data", Text(data)),
        ("Adapter", _path(record.adapter)),
        ("Run", _path(record.run_dir)),
        *(("Note", Text(plain(note))) for note in record.notes),
    ]
    subject = f"{plain(record.run)} · seed {record.seed}"
    return Group(
        _headline(record.species, subject, record.verdict),
        _evidence(record),
        _families(record.families),
        _rows(rows),
        _next(record.gates, f"speciate registry show {_short(record.adapter_digest)}"),
    )


def render_entries(cards: Sequence[AdapterCard], problems: Iterable[str] = ()) -> RenderableType:
    """The registry as a table, and the entries that cannot be read."""
    damaged = [Text(f"damaged: {plain(problem)}", style="red", overflow="fold") for problem in problems]
    if not cards:
        return Group(Text("No species yet. `speciate train RECIPE` grows one."), *damaged)
    table = _table()
    table.add_column("species", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("gain", no_wrap=True, justify="right")
    table.add_column("lost", no_wrap=True, justify="right")
    table.add_column("digest", no_wrap=True)
    table.add_column("made", no_wrap=True)
    for card in cards:
        table.add_row(
            _named(card),
            Text(card.verdict, style=COLOURS[card.verdict]),
            Text(f"{_points(card.gain.delta)} ({_bounds(card.gain.ci95)})"),
            Text(f"<{_points(card.forgetting.ci95_upper, sign=False)}"),
            Text(_short(card.digest)),
            Text(plain(card.created)[:10]),
        )
    legend = Text("gain: points on the niche (95% interval); lost: general points, 95% sure", style="dim")
    return Group(table, legend, *damaged)


def render_entry(card: AdapterCard, path: Path) -> RenderableType:
    """One entry: what it can do, what it cost, what it descends from and where it lies."""
    base = card.base.get("name", "unknown")
    parents = ", ".join(f"{plain(edge.get('kind'))} {_short(edge.get('digest'))}" for edge in card.parents)
    cost = " · ".join(_quantity(name, value) for name, value in card.cost.items())
    rows: list[Row] = [
        ("Niche", Text(plain(card.niche))),
        ("Base", Text(f"{plain(base)} ({_short(card.base.get('digest'))})", overflow="fold")),
        ("Grown from", Text(parents or "nothing recorded", overflow="fold")),
        ("Run", Text(f"{plain(card.run)} · seed {card.seed} · recipe {_short(card.recipe_digest)}", overflow="fold")),
        ("Made", Text(f"{plain(card.created)} with speciate {plain(card.speciate)}")),
        *([("Cost", Text(cost))] if cost else []),
        ("Licence", Text(plain(card.licence))),
        ("Digest", Text(plain(card.digest), overflow="fold")),
        ("Files", _path(path)),
    ]
    return Group(
        _headline(f"{card.species}@{card.version}", card.description, card.verdict),
        _evidence(card),
        _families(card.families),
        _rows(rows),
        _next(card.gates, f'PeftModel.from_pretrained(base, "{plain(path)}")'),
    )


def _headline(species: str, subject: str, verdict: Outcome) -> RenderableType:
    colour = COLOURS[verdict]
    title = Text.assemble((f" {verdict.upper()} ", f"bold reverse {colour}"), "  ", (plain(species), "bold"))
    lines = [title, Text(MEANINGS[verdict], style=colour)]
    if subject:
        lines.append(Text(plain(subject), style="dim"))
    for line in lines:
        line.overflow = "fold"
    return Panel(Group(*lines), border_style=colour, box=box.ROUNDED)


def _evidence(of: Evidence) -> RenderableType:
    outcomes = {gate.gate: gate for gate in of.gates}
    rows: list[Row] = [
        ("Gain", _gain(of.gain, outcomes.pop("min_gain", None))),
        *([("Transfer", _gain(of.transfer, None))] if of.transfer else []),
        *([("Hammer", _hammer(of.hammer))] if of.hammer else []),
        ("Forgetting", _forgetting(of.forgetting, outcomes.pop("max_forgetting", None))),
    ]
    if nats := of.forgetting.nats:
        low, high = nats.ci95
        line = f"{nats.delta:+.4f} nats/token (95% interval {low:+.4f} to {high:+.4f}), {nats.documents:,} documents"
        rows.append(("Text loss", Text(line)))
    for gate in outcomes.values():
        rows.append(("Gate", Text.assemble(plain(gate.gate, gate.explanation), ": ", _outcome(gate))))
    rows.append(("Base", _intact(of.intact)))
    return _rows(rows)


def _gain(gain: Estimate, gate: GateResult | None) -> Text:
    line = Text.assemble((f"{_points(gain.delta)} points", "bold"), f" (95% interval {_bounds(gain.ci95)})")
    if gate:
        low, high = _points(gate.interval[0]), _points(gate.interval[1])
        shown = {
            "passed": f"95% sure of at least {low}",
            "failed": f"95% sure of at most {high}",
            "undecided": f"anywhere from {low} to {high}",
        }[gate.outcome]
        line.append("\n").append_text(_outcome(gate)).append(f": {shown}; asked {_points(gate.bound)}")
    return line.append(f"\n{_changes(gain)}")


def _hammer(hammer: Baseline) -> Text:
    share = f"{100 * hammer.solved / hammer.n:.1f}%"
    return Text.assemble(
        (f"{share} need no model", "bold"),
        f" (95% interval {_bounds(hammer.ci95)}): Lean's own automation, on {hammer.n:,} of the items",
        f"\nthere base {hammer.base_solved:,}, hammer {hammer.solved:,}, adapter {hammer.adapter_solved:,}; ",
        f"adapter alone {hammer.adapter_only:,}",
    )


def _forgetting(loss: Forgetting, gate: GateResult | None) -> Text:
    low, high = (_points(end, sign=False) for end in loss.ci95)
    moved = f"{'lost' if loss.delta >= 0 else 'won'} {_points(abs(loss.delta), sign=False)} points"
    line = Text.assemble((moved, "bold"), f" (95% interval of the loss {low} to {high})")
    if gate:
        low, high = (_points(end, sign=False) for end in gate.interval)
        shown = {
            "passed": f"95% sure to lose less than {high}",
            "failed": f"95% sure to lose more than {low}",
            "undecided": f"the loss is anywhere from {low} to {high}",
        }[gate.outcome]
        line.append("\n").append_text(_outcome(gate))
        line.append(f": {shown}; allowed {_points(gate.bound, sign=False)}")
    return line.append(f"\n{_changes(loss)}")


def _changes(of: Estimate | Forgetting) -> str:
    return (
        f"{plain(of.metric)} {of.base:.1%} → {of.adapter:.1%}, {of.n:,} items; "
        f"wrong→right {of.wrong_to_right:,}, right→wrong {of.right_to_wrong:,}"
    )


def _outcome(gate: GateResult) -> Text:
    return Text(gate.outcome, style=f"bold {COLOURS[gate.outcome]}")


def _intact(intact: Intact) -> Text:
    if intact.holds:
        text = f": unchanged on disk and in memory, logits bit-identical without the adapter ({intact.prompts} prompts)"
        return Text.assemble(("intact", "bold green"), text)
    changed = [
        *(["the files on disk"] if intact.base_digest_before != intact.base_digest_after else []),
        *(["the weights in memory"] if intact.memory_digest_before != intact.memory_digest_after else []),
        *([] if intact.logits_identical else ["its logits without the adapter"]),
    ]
    return Text.assemble(("ALTERED", "bold red"), f": {', '.join(changed)} changed; trust none of these figures")


def _families(families: Sequence[FamilyScore]) -> RenderableType:
    table = _table()
    table.add_column("family", overflow="fold")
    table.add_column("base", no_wrap=True)
    table.add_column("adapter", no_wrap=True)
    table.add_column("95%", no_wrap=True, justify="right")
    table.add_column("items", no_wrap=True, justify="right")
    for score in sorted(families, key=lambda score: score.held_out):
        low, high = score.adapter_ci95
        table.add_row(
            Text(f"{HELD_OUT if score.held_out else ''}{plain(score.family)}"),
            _bar(score.base_right, score.n, "blue"),
            _bar(score.adapter_right, score.n, "magenta"),
            Text(f"{100 * low:.0f}-{100 * high:.0f}", style="dim"),
            Text(f"{score.n:,}", style="dim"),
        )
    legend = "bars: right answers; 95%: interval for the adapter"
    if any(score.held_out for score in families):
        legend += f"; {HELD_OUT}held out of training"
    return Padding(Group(table, Text(legend, style="dim")), (0, 0, 1, 1)) if families else Text("")


def _bar(right: int, n: int, colour: str, width: int = 12) -> Text:
    share = min(max(right / n, 0.0), 1.0) if n else 0.0
    whole, eighths = divmod(round(share * width * 8), 8)
    drawn = "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()
    return Text.assemble((drawn, colour), ("·" * (width - len(drawn)), "dim"), f"{share:>5.0%}")


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _next(gates: Iterable[GateResult], otherwise: str) -> RenderableType:
    lines: list[str] = []
    for gate in gates:
        advice = ADVICE.get((gate.gate, gate.outcome), f"see the gate {plain(gate.gate)}")
        if gate.outcome == "undecided" and gate.n_to_decide:
            lines.append(f"{advice}: about {gate.n_to_decide:,} items would decide it, there were {gate.n:,}")
        elif gate.outcome == "undecided":
            lines.append(f"{plain(gate.gate)}: too close to its bound for more items to decide it; move the bound")
        elif gate.outcome == "failed":
            lines.append(advice)
    return _rows([("Next", Text(line, style="bold")) for line in lines or [otherwise]])


def _rows(rows: Iterable[Row]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, width=10)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    return Padding(grid, (0, 0, 1, 1))


def _named(card: AdapterCard) -> Text:
    return Text.assemble((plain(card.species), "bold"), (f"@{card.version}", "dim"), overflow="fold")


def _path(path: str | Path) -> Text:
    return Text(plain(path), overflow="fold")


def _points(share: float, sign: bool = True) -> str:
    return f"{100 * share:+.1f}" if sign else f"{100 * share:.1f}"


def _bounds(interval: tuple[float, float]) -> str:
    return " to ".join(_points(end, sign=False) for end in interval)


def _short(digest: object) -> str:
    return plain(digest).removeprefix("sha256:")[:8]


def _quantity(name: str, value: float) -> str:
    if name == "seconds":
        return _duration(value)
    if name.endswith("_bytes"):
        return f"{plain(name.removesuffix('_bytes').replace('_', ' '))} {_size(value)}"
    return f"{plain(name)} {value:,.4g}"


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
