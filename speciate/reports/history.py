"""All runs and evaluations as a person reads them: newest first, each with its outcome and its figures."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from speciate.records.history import Event, Headline
from speciate.reports import terminal, words
from speciate.reports.plain import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

GO_ON = {
    "run": "was stopped: `speciate train RECIPE --resume` ends it",
    "evaluation": "was stopped: `speciate eval MODEL... --resume`, as it was begun, ends it",
}


def render_history(events: Sequence[Event], problems: Sequence[str], folders: Sequence[str]) -> "RenderableType":
    """Each run and evaluation, those that cannot be read, and where they lie."""
    damaged: list[terminal.Row] = [("damaged", terminal.said((plain(problem), "red"))) for problem in problems]
    if not events and not damaged:
        return terminal.said("No runs yet. `speciate train RECIPE` and `speciate eval MODEL` make some.")
    rows = [row for event in events for row in rows_of(event)]
    where = terminal.said((f"in {plain(' and '.join(folders))}; what --out put elsewhere is not listed", "dim"))
    return terminal.stack(terminal.facts([*rows, *damaged]), where)


def rows_of(event: Event) -> list[terminal.Row]:
    """The outcome with name and time, then base and suite, then a line for each model."""
    name = terminal.said((plain(event.name), "bold"), f"  {plain(event.created[:16].replace('T', ' '))}")
    about = " · ".join(filter(None, (event.base, event.suite and f"suite {event.suite}")))
    lines = [about, *figures(event)] if event.figures else [about]
    if event.state == "unfinished":
        lines.append(GO_ON[event.kind])
    return [(event.state, name), *(("", terminal.said(plain(line))) for line in lines if line)]


def figures(event: Event) -> list[str]:
    """What each model of it gained and lost, or scored."""
    found: list[str] = []
    for model, its in groupby(event.figures, lambda figure: figure.model):
        said = ", ".join(map(figure, its))
        found.append(said if event.kind == "run" else f"{model}: {said}")
    return found


def figure(of: Headline) -> str:
    """One figure with its interval."""
    if of.figure == "score":
        low, high = of.ci95
        return f"{of.value:.1%} {of.role} ({low:.1%} to {high:.1%})"
    said = words.moved(of.value) if of.figure == "forgetting" else f"gain {words.points(of.value)} points"
    return f"{said} ({words.bounds(of.ci95)})"
