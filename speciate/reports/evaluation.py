"""An evaluation as a person reads it: the comparison of its models, and what was asked of how many at which speed."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from speciate.progress import duration
from speciate.records import EvalRecord
from speciate.reports import suites
from speciate.reports.plain import plain


def render_evaluation(record: EvalRecord, comparison: RenderableType, written: Sequence[str] = ()) -> RenderableType:
    """The comparison, then the suite, every model's score, the speed and where the rows are."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, width=10)
    grid.add_column(overflow="fold")
    items = ", ".join(f"{count:,} {role}" for role, count in record.items.items())
    grid.add_row("Suite", Text(plain(f"{record.suite} version {record.suite_version}: {items} items")))
    for model in record.models:
        # The scores of a base by itself are the headline of the comparison.
        for score in model.scores if len(record.models) > 1 else ():
            low, high = score.ci95
            line = f"{score.value:.1%} {score.role} (95% interval {low:.1%} to {high:.1%}, {score.n:,} items)"
            grid.add_row("Score", Text(plain(f"{model.model}: {line}")))
        for one in model.pass_at_k:
            low, high = one.ci95
            line = f"pass@{one.k} {one.value:.1%} {one.role} (95% interval {low:.1%} to {high:.1%})"
            grid.add_row("", Text(plain(f"{model.model}: {line}")))
        if model.contamination:
            away = model.contamination
            line = f"{away.exact + away.ngram:,} of {away.items:,} items were in {away.rows:,} training rows, left out"
            grid.add_row("Overlap", Text(plain(f"{model.model}: {line}")))
        elif model.model != "base":
            grid.add_row("Overlap", Text(plain(f"{model.model}: its training rows are not at hand (--train-rows)")))
    grid.add_row("Speed", Text(plain(speed(record))))
    if record.left_out:
        grid.add_row("Left out", Text(plain(suites.left_out(record.left_out))))
    for note in record.notes:
        grid.add_row("Note", Text(plain(note)))
    grid.add_row("Rows", Text(plain(record.eval_dir), overflow="fold"))
    return Group(comparison, Padding(grid, (0, 0, 0, 1)), *(Text(plain(line)) for line in written))


def speed(record: EvalRecord) -> str:
    """How many answers there are, how many of them were recalled, and the rate of those that were generated."""
    answers, took = f"{record.answers:,} answers", duration(record.seconds)
    where = f"on {record.device} {record.precision}"
    generated = record.answers - record.recalled
    if not generated:
        return f"{answers}, all of them recalled, none generated; {took} {where}"
    rate = f"{record.tokens_per_second:,.0f} tokens/s"
    if not record.recalled:
        return f"{answers} in {took}, {rate} {where}"
    return f"{answers} in {took}: {record.recalled:,} recalled, {generated:,} generated at {rate} {where}"
