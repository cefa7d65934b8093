"""Suites without a model: which there are, what each asks, and all that is wrong with one.

Nothing is fetched: what a data set of the hub holds is counted only when an evaluation reads it.
"""

from pathlib import Path

from speciate.errors import InputError, RecipeError, StorageError
from speciate.evals.sources import check_names, found
from speciate.evals.tables import texts_of
from speciate.pipeline.names import SUITES
from speciate.pipeline.source_outline import in_words, outline_of
from speciate.recipe import LoadedSuite, find_data, load_suite
from speciate.recipe.suite import LeanSource, ReasoningSource, SkillsSource
from speciate.records import ROLES
from speciate.records.outline import SourceOutline, SuiteEntry, SuiteOutline


def folder() -> Path | None:
    """Where the suites lie that are known by name: beside or above the working directory."""
    return find_data(SUITES, Path.cwd() / "-")


def known() -> tuple[list[SuiteEntry], list[str]]:
    """The suites that are known by name, and all that is wrong with those that cannot be read."""
    place = folder()
    entries: list[SuiteEntry] = []
    problems: list[str] = []
    for path in sorted(place.glob("*.yaml")) if place else []:
        try:
            suite = load_suite(path).recipe
        except InputError as error:
            problems += error.problems if isinstance(error, RecipeError) else [str(error)]
            continue
        entries.append(
            SuiteEntry(
                suite=suite.suite,
                version=suite.version,
                description=suite.description,
                sources=[in_words(source) for source in suite.sources],
                path=str(path),
            )
        )
    return entries, problems


def outline(loaded: LoadedSuite) -> SuiteOutline:
    """What a suite asks. Raises RecipeError with all that is wrong with it."""
    sources, problems = looked_at(loaded)
    if problems:
        raise RecipeError(problems)
    suite = loaded.recipe
    counted = {
        role: sum(n or 0 for one in sources if one.role == role for n in one.families.values()) for role in ROLES
    }
    return SuiteOutline(
        suite=suite.suite,
        version=suite.version,
        description=suite.description,
        path=str(loaded.path),
        sampling=suite.sampling.model_dump(mode="json"),
        sources=sources,
        items={role: count for role, count in counted.items() if count},
        uncounted=[family for one in sources for family, count in one.families.items() if count is None],
        texts=len(list(texts_of(found(loaded, suite.text, "text")))) if suite.text else 0,
    )


def problems_of(loaded: LoadedSuite) -> list[str]:
    """All that is wrong with a suite, as far as that is seen without a model and without the hub."""
    return looked_at(loaded)[1]


def looked_at(loaded: LoadedSuite) -> tuple[list[SourceOutline], list[str]]:
    """The outline of each source that is right, and a line for each thing that is wrong."""
    misnamed = wrong_names(loaded)
    problems = [*misnamed, *wrong_texts(loaded)]
    outlines: list[SourceOutline] = []
    owners: dict[str, int] = {}
    for place, source in enumerate(loaded.recipe.sources):
        if misnamed and isinstance(source, SkillsSource | LeanSource | ReasoningSource):
            continue
        try:
            one = outline_of(loaded, source, place)
        except RecipeError as error:
            problems += error.problems
            continue
        except (InputError, StorageError) as error:
            problems += [loaded.problem(f"sources.{place}", line) for line in str(error).splitlines()]
            continue
        outlines.append(one)
        for family in one.families:
            if owners.setdefault(family, place) != place:
                said = f"source {owners[family] + 1} has a family {family!r} too: give one of them a prefix"
                problems.append(loaded.problem(f"sources.{place}", said))
    return outlines, problems


def wrong_names(loaded: LoadedSuite) -> list[str]:
    """A line for each family or skill that its source does not have."""
    try:
        check_names(loaded)
    except RecipeError as error:
        return error.problems
    return []


def wrong_texts(loaded: LoadedSuite) -> list[str]:
    """What is wrong with the suite's file of texts, and with its folder of data sets."""
    suite = loaded.recipe
    problems: list[str] = []
    for key, name in (("text", suite.text), ("datasets", suite.datasets)):
        if name:
            try:
                path = found(loaded, name, key)
                if key == "text":
                    list(texts_of(path))
            except RecipeError as error:
                problems += error.problems
            except (InputError, StorageError) as error:
                problems.append(loaded.problem(key, str(error)))
    return problems
