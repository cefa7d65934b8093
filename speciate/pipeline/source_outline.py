"""What one source of a suite asks, as far as that is known without a model and without the hub."""

from collections import Counter
from typing import Any

from speciate.errors import MissingComponent
from speciate.evals.sources import GENERATED, found, lean_items, skills_items
from speciate.evals.tables import Maker, dataset_rows, jsonl_rows, table_items
from speciate.niches.base import Item
from speciate.recipe import LoadedSuite, find_data
from speciate.recipe.suite import (
    DatasetSource,
    HarnessSource,
    JsonlSource,
    LeanSource,
    ReasoningSource,
    SkillsSource,
    Source,
)
from speciate.records.outline import SourceOutline

TOO_LONG = "families that do not fit into the context of the base are left out"
ON_THE_HUB = "counted when the data set is read from the hub"
FEW = 3
"""Families that are named one by one where there is little room."""


def in_words(source: Source) -> str:
    """A source in a few words."""
    match source:
        case HarnessSource():
            return f"harness: {listed(source.tasks)}"
        case JsonlSource() | DatasetSource():
            return f"{source.name} ({source.path})"
        case SkillsSource() | LeanSource() | ReasoningSource():
            return f"{source.source}: {listed(source.families)}" if source.families else source.source


def listed(names: tuple[str, ...]) -> str:
    """Few names, or how many there are."""
    return ", ".join(names) if len(names) <= FEW else f"{len(names)} of its families"


def outline_of(loaded: LoadedSuite, source: Source, place: int) -> SourceOutline:
    """What the source at this place asks. Raises InputError of some kind, StorageError for a damaged file."""
    note = ""
    families: dict[str, int | None] = {}
    match source:
        case SkillsSource():
            families |= counted(skills_items(source, source.items or GENERATED))
        case LeanSource():
            families |= counted(lean_items(source, source.items or GENERATED))
        case ReasoningSource():
            families |= dict.fromkeys(reasoning_families(source), source.items or GENERATED)
            note = "" if source.families else TOO_LONG
        case JsonlSource():
            rows = jsonl_rows(source, found(loaded, source.path, f"sources.{place}.path"))
            families |= counted(table_items(source, rows, source.items))
        case DatasetSource():
            families |= dataset_families(loaded, source)
            note = ON_THE_HUB if None in families.values() else ""
        case HarnessSource():
            families |= dict.fromkeys(source.tasks)
            note = task_note(source)
    return SourceOutline(
        source=source.source,
        role=source.role,
        what=in_words(source),
        families={source.prefix + family: count for family, count in families.items()},
        most=source.items if None in families.values() else None,
        note=note,
    )


def counted(items: list[Item]) -> dict[str, int]:
    """Items of each family."""
    return dict(Counter(item.family for item in items))


def reasoning_families(source: ReasoningSource) -> list[str]:
    """The families of reasoning-gym that are meant. Raises InputError for parameters that they do not have."""
    from speciate.niches.reasoning import families, items

    for family, parameters in source.parameters.items():
        items(family, 1, source.seed, parameters)
    return list(source.families or (name for name in families() if name not in source.leave_out))


def dataset_families(loaded: LoadedSuite, source: DatasetSource) -> dict[str, Any]:
    """Items of each family of a data set in a folder; nobody knows how many of one that is on the hub."""
    suite = loaded.recipe
    places = [f"{suite.datasets}/{source.path}"] if suite.datasets else []
    folder = next((path for name in (*places, source.path) if (path := find_data(name, loaded.path))), None)
    if folder is not None:
        return counted(table_items(source, dataset_rows(source, folder), source.items))
    Maker(source)
    return {source.name: None}


def task_note(source: HarnessSource) -> str:
    """What is to be said of tasks. Raises InputError for names that lm_eval does not have."""
    from speciate.evals.harness_tasks import check_tasks

    try:
        check_tasks(source)
    except MissingComponent as error:
        return f"not checked: {error}"
    return "counted when the data sets of the tasks are read"
