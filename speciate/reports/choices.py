"""What was tried on development items while an adapter was made: which checkpoint and which strength was taken."""

from collections.abc import Sequence

from speciate.records import Arm
from speciate.records.trials import Choice, Chosen, Trial
from speciate.reports import words
from speciate.reports.plain import line
from speciate.reports.sheet import mark_of
from speciate.reports.tracks import Lane, Row, tracks
from speciate.reports.views import Cell, Table

MEANING: dict[Choice, str] = {"checkpoint": "Checkpoint", "strength": "Strength"}
"""Of what was chosen."""


def told(name: Choice, chosen: Chosen) -> str:
    """One choice in one line."""
    without = f"; no development items of {', '.join(chosen.without[:5])}" if chosen.without else ""
    taken = f"{place(name, chosen.taken)}, of {len(chosen.trials)} that were tried"
    return f"{taken}: {chosen.why}; {figures(chosen.taken)}{without}"


def place(name: Choice, trial: Trial) -> str:
    """What distinguishes a trial from the others."""
    return f"step {trial.step:,}" if name == "checkpoint" else f"{trial.strength:g}"


def figures(trial: Trial) -> str:
    """What was measured on development items."""
    gained = (
        f"{words.points(trial.gain)} points gained on {trial.niche_items:,} items" if trial.gain is not None else ""
    )
    lost = ""
    if trial.forgetting is not None and trial.forgetting_upper is not None:
        sure = words.points(trial.forgetting_upper, sign=False)
        lost = f"{words.moved(trial.forgetting)} on {trial.general_items:,} items, 95% sure of less than {sure}"
    return ", ".join(part for part in (gained, lost) if part) or "no development items"


def table(arms: Sequence[Arm]) -> Table:
    """All trials of all arms."""
    rows: list[Sequence[Cell]] = []
    for number, arm in enumerate(arms):
        for name, chosen in arm.chosen.items():
            for trial in chosen.trials:
                gain = "" if trial.gain is None or trial.gain_ci95 is None else words.points(trial.gain)
                interval = f" ({words.bounds(trial.gain_ci95, sign=True)})" if trial.gain_ci95 else ""
                loss = "" if trial.forgetting is None else words.points(trial.forgetting)
                upper = "" if trial.forgetting_upper is None else words.points(trial.forgetting_upper)
                passed = "yes" if trial.passed else "no"
                taken = "taken" if trial == chosen.taken else ""
                rows.append(
                    (number, f"{MEANING[name]} {place(name, trial)}", gain + interval, loss, upper, passed, taken)
                )
    head = ("arm", "tried", "gain (95%)", "lost", "95% sure of less than", "below the bound", "")
    return Table(head, rows, "On development items, of which no other figure on this page is made.")


def drawings(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """The gains of the trials of each choice with their intervals, and a caption; the one that was taken is filled."""
    found: list[tuple[str, str]] = []
    for number, arm in enumerate(arms):
        for name, chosen in arm.chosen.items():
            rows: list[Row] = []
            for trial in chosen.trials:
                if trial.gain is None or trial.gain_ci95 is None:
                    continue
                mark = mark_of(number)._replace(filled=trial == chosen.taken)
                lost = "" if trial.forgetting is None else f", {words.moved(trial.forgetting)}"
                figure = f"{words.points(trial.gain)}{lost}"
                label = f"{MEANING[name].lower()} {place(name, trial)}"
                rows.append(Row(label, figure, (Lane(trial.gain, *trial.gain_ci95, mark),)))
            if len(rows) > 1:
                caption = f"{line(arm.label, 40)}: gain on development items for each {MEANING[name].lower()}"
                description = "; ".join(f"{row.name}: {row.figure}" for row in rows)
                drawn = tracks(f"chosen-{name}-{number}", caption, description, rows, words.points)
                found.append((drawn, caption))
    return found
