"""Items like those of a suite, to choose settings with: none of them is in the suite, so what is reported stays unseen.

Where a source has no further items (a table that the suite asks whole, a task of the harness), there are none; families
without are named.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from speciate.evals.sources import JudgedBy, Part, Questions, reasoning_items, rows_of, table_judge
from speciate.evals.tables import table_items
from speciate.niches import skills
from speciate.niches.base import Item
from speciate.recipe import LoadedSuite
from speciate.recipe.suite import DatasetSource, HarnessSource, JsonlSource, LeanSource, ReasoningSource, SkillsSource

SEED = "development"
OTHER_SEED = 1_000_003
"""Added to the seed of a source, so that it gives other items."""


@dataclass(frozen=True, slots=True)
class Development:
    """Parts to ask, and families of the suite that have none."""

    parts: list[Part]
    without: list[str]


def development(loaded: LoadedSuite, asked: Questions, count: int, trained_on: Collection[str] = ()) -> Development:
    """At most `count` items of each family of the suite's general sources, none of which the suite asks or is in
    `trained_on` (digests).
    """
    taken = {item.digest for part in asked.parts for item in part.items} | set(trained_on)
    parts: list[Part] = []
    for place, source in enumerate(loaded.recipe.sources):
        if isinstance(source, HarnessSource | LeanSource):
            continue
        judge: JudgedBy | None = skills.ExactMatch
        sampling = source.sampling or loaded.recipe.sampling
        match source:
            case SkillsSource():
                made = [item for name in source.families or skills.SKILLS for item in _skill(name, count, taken)]
            case ReasoningSource():
                other = source.model_copy(update={"seed": source.seed + OTHER_SEED})
                made, judge, _ = reasoning_items(other, count, sampling, None)
            case JsonlSource() | DatasetSource():
                made = table_items(source, rows_of(loaded, source, place), None)
                judge = table_judge(source)
        items = _first([item for item in made if item.digest not in taken], count)
        if source.prefix:
            items = [replace(item, family=source.prefix + item.family) for item in items]
        if items:
            by = "byte" if isinstance(source, JsonlSource | DatasetSource) and source.metric == "choice_norm" else None
            partial = not isinstance(source, ReasoningSource) or source.partial
            parts.append(Part("general", items, judge, sampling, by or "likelihood", partial))
    asked_families = {item.family for part in asked.parts for item in part.items}
    found = {item.family for part in parts for item in part.items}
    return Development(parts, sorted(asked_families - found))


def _skill(name: str, count: int, taken: Collection[str]) -> list[Item]:
    """Items of a skill from the part that no suite asks; the base may have met them, as it has met their like."""
    found = skills.sample(name, min(count * 2 + 10, count + 200), SEED, held=False)
    return [item for item in found if item.digest not in taken][:count]


def _first(items: list[Item], count: int) -> list[Item]:
    """The first items of each family."""
    left: dict[str, int] = {}
    kept: list[Item] = []
    for item in items:
        left[item.family] = left.get(item.family, count) - 1
        if left[item.family] >= 0:
            kept.append(item)
    return kept


def families_of(parts: list[Part]) -> Mapping[str, int]:
    """Items of each family."""
    counts: dict[str, int] = {}
    for part in parts:
        for item in part.items:
            counts[item.family] = counts.get(item.family, 0) + 1
    return counts
