"""From a suite to what is asked: items with their judges, tasks of the harness, and texts.

The items of a suite are the same for every run; what they are is named by one digest, and a comparison of runs rests on
it. Knows nothing of models but how long a question may be.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

from speciate.errors import InputError, MissingComponent, RecipeError
from speciate.evals.tables import dataset_rows, jsonl_rows, table_items, texts_of
from speciate.niches import skills
from speciate.niches.base import Item, Verifier
from speciate.niches.lean.families import FAMILIES
from speciate.niches.lean.niche import LeanVerifier, stream
from speciate.niches.splits import EVALUATION, draw
from speciate.recipe import LoadedSuite, Suite, find_data, unknown_names
from speciate.recipe.suite import (
    DatasetSource,
    HarnessSource,
    JsonlSource,
    LeanSource,
    ReasoningSource,
    Role,
    SamplingOf,
    SkillsSource,
    SourceOf,
)
from speciate.storage import digest_json

GENERATED = 100
"""Items of a family that is generated without end, where the suite names no number."""
SKILLS_SEED = "general"
JudgedBy = Callable[[], AbstractContextManager[Verifier]]
"""Gives the judge, open for as long as a `with` block lasts."""


@dataclass(frozen=True, slots=True)
class Part:
    """Items that are asked and judged in one way."""

    role: Role
    items: Sequence[Item]
    judge: JudgedBy | None
    """None for items with choices, which the model's own likelihoods decide."""
    sampling: SamplingOf
    by: Literal["likelihood", "byte"] = "likelihood"
    """Whether the likeliest choice is taken, or the likeliest for each byte of its text."""
    partial: bool = True
    """Whether an answer that is right in part scores in part, else it scores nothing."""


@dataclass(frozen=True, slots=True)
class Questions:
    """All that a suite asks."""

    suite: Suite
    parts: Sequence[Part]
    harness: Sequence[HarnessSource]
    texts: Sequence[str]
    digest: str
    """Of the suite and all of its items and texts."""
    chance: Mapping[str, float]
    """Share that a guesser gets right, of the families where that is not 0."""
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    """Families that cannot be asked, and why."""
    datasets: Path | None = None
    """Where data sets lie, in place of the hub."""
    limit: int | None = None
    """Items of each task of the harness."""

    def without(self, items: Collection[str]) -> "Questions":
        """The questions without some items, by their digests; another digest names what is left."""
        parts = [replace(part, items=[item for item in part.items if item.digest not in items]) for part in self.parts]
        kept = [part for part in parts if part.items]
        return replace(self, parts=kept, digest=digest_json([self.digest, "without", sorted(items)]))

    @property
    def items(self) -> int:
        """Items of all parts, those of the harness not counted: only its tasks know them."""
        return sum(len(part.items) for part in self.parts)


Fits = Callable[[str, str, int], bool]
"""Whether a prompt, its reference answer and a number of new tokens fit into the base's context."""


def questions(
    loaded: LoadedSuite,
    *,
    per_family: int | None = None,
    limit: int | None = None,
    fits: Fits | None = None,
    lean: JudgedBy = LeanVerifier,
) -> Questions:
    """What the suite asks. `per_family` takes the place of every source's number of items, `limit` bounds it; `fits`
    leaves out families of reasoning-gym that are too long, where the suite names none.

    Raises RecipeError for names that no source has, InputError for tables that do not have what the suite says.
    """
    suite = loaded.recipe
    check_names(loaded)
    parts: list[Part] = []
    left_out: dict[str, str] = {}
    chance: dict[str, float] = {}
    for place, source in enumerate(suite.sources):
        if isinstance(source, HarnessSource):
            continue
        count = per_family or source.items
        most = min(count, limit) if count and limit else count or limit
        sampling = source.sampling or suite.sampling
        judge: JudgedBy | None
        by: Literal["likelihood", "byte"] = "likelihood"
        match source:
            case SkillsSource():
                items = skills_items(source, most or GENERATED)
                judge = skills.ExactMatch
            case LeanSource():
                items = lean_items(source, most or GENERATED)
                judge = lean
            case ReasoningSource():
                items, judge, unfit = reasoning_items(source, most or GENERATED, sampling, fits)
                left_out |= unfit
            case JsonlSource() | DatasetSource():
                rows = rows_of(loaded, source, place)
                items = table_items(source, rows, most)
                judge = table_judge(source)
                by = "byte" if source.metric == "choice_norm" else "likelihood"
        check_chance(loaded, place, source, items)
        if source.prefix:
            items = [replace(item, family=source.prefix + item.family) for item in items]
        chance |= chances(source, items)
        if items:
            partial = not isinstance(source, ReasoningSource) or source.partial
            parts.append(Part(source.role, items, judge, sampling, by, partial))
    texts = list(texts_of(found(loaded, suite.text, "text"))) if suite.text else []
    check_families(parts)
    asked = [
        [part.role, part.by, part.partial, part.sampling.model_dump(), [item.digest for item in part.items]]
        for part in parts
    ]
    harness = [source for source in suite.sources if isinstance(source, HarnessSource)]
    named = [source.model_dump() | {"limit": limit, "lm_eval": harness_version()} for source in harness]
    digest = digest_json([suite.suite, suite.version, asked, named, texts])
    datasets = found(loaded, suite.datasets, "datasets") if suite.datasets else None
    return Questions(suite, parts, harness, texts, digest, chance, left_out, datasets, limit)


def harness_version() -> str:
    """The version of lm-evaluation-harness, whose prompts and metrics it decides. Raises MissingComponent."""
    try:
        return metadata.version("lm-eval")
    except metadata.PackageNotFoundError as error:
        raise MissingComponent(
            "this suite has tasks of lm-evaluation-harness, which is not installed: `uv sync --extra harness` in a "
            'clone, or `pip install "speciate[harness]"`'
        ) from error


def check_names(loaded: LoadedSuite) -> None:
    """Raises RecipeError for each family or skill that its source does not have."""
    problems: list[str] = []
    for place, source in enumerate(loaded.recipe.sources):
        if isinstance(source, SkillsSource | LeanSource | ReasoningSource):
            kind, known = ("skill", list(skills.SKILLS)) if isinstance(source, SkillsSource) else ("family", [])
            if isinstance(source, LeanSource):
                known = list(FAMILIES)
            elif isinstance(source, ReasoningSource):
                from speciate.niches.reasoning import families

                known = families()
            names = source.families or ()
            more = [*source.parameters, *source.leave_out] if isinstance(source, ReasoningSource) else []
            named = [*names, *more]
            said = unknown_names(kind, named, known)
            problems += [loaded.problem(f"sources.{place}.families", text) for text in said.values()]
            twice = [name for name, count in Counter(names).items() if count > 1]
            problems += [loaded.problem(f"sources.{place}.families", f"{name!r} is there twice") for name in twice]
    if problems:
        raise RecipeError(problems)


def check_chance(loaded: LoadedSuite, place: int, source: SourceOf, items: Sequence[Item]) -> None:
    """Raises RecipeError where the chance of a family is given that the source does not have; one that is left out for
    its length may have one.
    """
    if isinstance(source.chance, dict) and not isinstance(source, ReasoningSource):
        said = unknown_names("family", list(source.chance), sorted({item.family for item in items}))
        if said:
            raise RecipeError([loaded.problem(f"sources.{place}.chance.{name}", text) for name, text in said.items()])


def check_families(parts: Sequence[Part]) -> None:
    """Raises InputError where two sources have items of one family, or one item is there twice."""
    owners: dict[str, int] = {}
    for place, part in enumerate(parts):
        for family in {item.family for item in part.items}:
            if owners.setdefault(family, place) != place:
                raise InputError(f"two sources of the suite have a family {family!r}: give one of them a prefix")
        twice = [digest for digest, count in Counter(item.digest for item in part.items).items() if count > 1]
        if twice:
            raise InputError(f"the suite has {len(twice)} items twice, the first is {twice[0]}")


def skills_items(source: SkillsSource, count: int) -> list[Item]:
    """Held-out items of each skill. Raises InputError where a skill has fewer."""
    try:
        names = source.families or tuple(skills.SKILLS)
        return [item for name in names for item in skills.sample(name, count, SKILLS_SEED)]
    except ValueError as error:
        raise InputError(f"{count} items: {error}") from error


def lean_items(source: LeanSource, count: int) -> list[Item]:
    """Theorems of each family from the split that no recipe trains on. Raises InputError where there are fewer."""
    names = source.families or tuple(FAMILIES)
    return draw(stream, EVALUATION, dict.fromkeys(names, count), "test", ())[0]


def reasoning_items(
    source: ReasoningSource, count: int, sampling: SamplingOf, fits: Fits | None
) -> tuple[list[Item], JudgedBy, dict[str, str]]:
    """Items of reasoning-gym, their judge, and the families that are left out with the reason why."""
    from speciate.niches.reasoning import ReasoningVerifier, families, items

    made: list[Item] = []
    left_out: dict[str, str] = {}
    for family in source.families or [name for name in families() if name not in source.leave_out]:
        found = items(family, count, source.seed, source.parameters.get(family, {}))
        if fits and not source.families:
            long = sum(not fits(item.prompt, item.reference, sampling.max_new_tokens) for item in found)
            if long:
                left_out[family] = f"{long} of {len(found)} items do not fit into the context"
                continue
        made += found
    return made, ReasoningVerifier, left_out


def rows_of(loaded: LoadedSuite, source: JsonlSource | DatasetSource, place: int) -> Sequence[Mapping[str, object]]:
    """The rows of a table, from where the suite says that it lies."""
    if isinstance(source, JsonlSource):
        return jsonl_rows(source, found(loaded, source.path, f"sources.{place}.path"))
    suite = loaded.recipe
    if suite.datasets and (folder := found(loaded, suite.datasets, "datasets") / source.path).is_dir():
        return dataset_rows(source, folder)
    return dataset_rows(source, find_data(source.path, loaded.path))


def table_judge(source: JsonlSource | DatasetSource) -> JudgedBy | None:
    """Who judges the answers to a table's items; nobody where the model chooses."""
    from speciate.niches import code, matching

    match source.metric:
        case "exact":
            return matching.Exact
        case "numeric":
            return matching.Numeric
        case "pattern":
            return lambda: matching.Pattern(source.pattern or "")
        case "python":
            return code.PythonVerifier
        case "choice" | "choice_norm":
            return None


def chances(source: SourceOf, items: Sequence[Item]) -> dict[str, float]:
    """The share that a guesser gets right of each family: what the suite says, else one of its choices."""
    families: dict[str, list[Item]] = {}
    for item in items:
        families.setdefault(item.family, []).append(item)
    said = source.chance
    guessed = {
        family: sum(1 / len(item.choices) for item in members if item.choices) / len(members)
        for family, members in families.items()
    }
    wanted = {family: said.get(family, 0.0) if isinstance(said, dict) else said for family in families}
    return {family: share for family in families if (share := wanted[family] or guessed[family])}


def found(loaded: LoadedSuite, name: str, key: str) -> Path:
    """A file or folder that the suite names. Raises RecipeError where it is not there."""
    path = find_data(name, loaded.path)
    if path is None:
        raise RecipeError([loaded.problem(key, f"there is no {name!r} in the suite's folder or in one above it")])
    return path
