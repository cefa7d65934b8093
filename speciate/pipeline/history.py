"""All runs and evaluations of the home, newest first. Reads their records, and decides nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speciate import runs
from speciate.errors import StorageError
from speciate.pipeline.folder import is_held
from speciate.records import Estimate, EvalRecord, Forgetting, RunRecord
from speciate.records.history import Event, Headline, State
from speciate.storage import read_json


def history() -> tuple[list[Event], list[str]]:
    """The runs and evaluations, and one line for each that cannot be read."""
    kinds: list[tuple[Path, str, Callable[[Path, dict[str, Any]], Event]]] = [
        (runs.folder(), runs.RECORD, run_in),
        (runs.evals_folder(), runs.EVAL, evaluation_in),
    ]
    found: list[Event] = []
    problems: list[str] = []
    for parent, record, event_in in kinds:
        for folder in parent.iterdir() if parent.is_dir() else ():
            if any((folder / name).is_file() for name in (runs.START, record)):
                try:
                    found.append(event_in(folder, start_of(folder)))
                except StorageError as error:
                    problems.append(str(error))
    return sorted(found, key=lambda event: (event.created, event.name), reverse=True), sorted(problems)


def run_in(folder: Path, start: dict[str, Any]) -> Event:
    """The run in a folder. Raises StorageError where its record is damaged."""
    path = folder / runs.RECORD
    record = runs.read_run(path) if path.is_file() else None
    return Event(
        name=folder.name,
        kind="run",
        created=created(start, path),
        state=record.verdict if record else unended(folder),
        base=inner(start, "base", "name"),
        suite=inner(start, "recipe", "evals", "suite"),
        folder=str(folder),
        figures=of_run(record) if record else [],
    )


def evaluation_in(folder: Path, start: dict[str, Any]) -> Event:
    """The evaluation in a folder. Raises StorageError where its record is damaged."""
    path = folder / runs.EVAL
    record = runs.read_eval(path) if path.is_file() else None
    return Event(
        name=folder.name,
        kind="evaluation",
        created=created(start, path),
        state="evaluated" if record else unended(folder),
        base=str(record.base.get("name", "")) if record else inner(start, "base", "name"),
        suite=record.suite if record else inner(start, "suite", "name"),
        folder=str(folder),
        figures=of_evaluation(record) if record else [],
    )


def unended(folder: Path) -> State:
    """Whether it goes on or was stopped."""
    return "running" if is_held(folder) else "unfinished"


def of_run(record: RunRecord) -> list[Headline]:
    """Gain and forgetting."""
    return changes(record.species, record.gain, record.forgetting)


def of_evaluation(record: EvalRecord) -> list[Headline]:
    """Gain and forgetting of each adapter; the scores of a base that was alone."""
    if len(record.models) > 1:
        return [one for model in record.models[1:] for one in changes(model.model, model.gain, model.forgetting)]
    return [
        Headline(model="base", figure="score", role=score.role, value=score.value, ci95=score.ci95, n=score.n)
        for model in record.models
        for score in model.scores
    ]


def changes(model: str, gain: Estimate | None, loss: Forgetting | None) -> list[Headline]:
    """What an adapter gained and lost, where it was asked."""
    found: list[Headline] = []
    if gain:
        found.append(Headline(model=model, figure="gain", role="niche", value=gain.delta, ci95=gain.ci95, n=gain.n))
    if loss:
        found.append(
            Headline(model=model, figure="forgetting", role="general", value=loss.delta, ci95=loss.ci95, n=loss.n)
        )
    return found


def start_of(folder: Path) -> dict[str, Any]:
    """What a run began with; nothing where that is missing or damaged, for its record says the rest."""
    try:
        found = read_json(folder / runs.START)
    except (StorageError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def inner(start: dict[str, Any], *keys: str) -> str:
    """A text in nested sections; empty where it is not there."""
    here: Any = start
    for key in keys:
        here = here.get(key) if isinstance(here, dict) else None
    return here if isinstance(here, str) else ""


def created(start: dict[str, Any], record: Path) -> str:
    """When it began, else when its record was written."""
    if said := inner(start, "created"):
        return said
    written = record.stat().st_mtime if record.is_file() else 0.0
    return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")
