"""`speciate runs`: what ran on this machine."""

import click

from speciate.cli.options import Group, as_json_option
from speciate.endings import answer, document


@click.group(cls=Group)
def runs() -> None:
    """The training runs and evaluations on this machine."""


@runs.command("list")
@as_json_option
def list_(as_json: bool) -> int:
    """List all training runs and evaluations, newest first.

    Each with its outcome, when it began, its base and suite, and its gain and forgetting with their 95% intervals.
    `speciate report NAME` shows one, `speciate compare NAME NAME` some side by side.
    """
    from speciate import runs
    from speciate.pipeline.history import history
    from speciate.reports.history import render_history
    from speciate.reports.terminal import text

    events, problems = history()
    found = document("runs/1", runs=[event.model_dump(mode="json") for event in events], problems=problems)
    folders = [str(runs.folder()), str(runs.evals_folder())]
    answer(found, text(render_history(events, problems, folders)), as_json)
    return 0
