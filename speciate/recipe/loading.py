"""From a recipe file to a recipe that fits its schema, or to all of its problems at once.

Knows nothing of what the names in a recipe stand for: which there are is given by a later layer, as `Known`, and what
else that layer finds wrong it says through `Loaded`, with its line.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from speciate.errors import RecipeError
from speciate.recipe.base import BaseRecipe
from speciate.recipe.problems import KeyPath, key_path, message, unknown_names
from speciate.recipe.species import Recipe
from speciate.recipe.suite import Suite
from speciate.recipe.text import Problem, Source, read_source

Known = Mapping[str, tuple[str, Collection[str]]]
"""For dotted keys whose values are names: what such a name is called, and which there are."""

Schema = TypeVar("Schema", Recipe, BaseRecipe, Suite, covariant=True)


@dataclass(frozen=True)
class Loaded(Generic[Schema]):
    """A recipe that fits its schema, and the file that it came from."""

    recipe: Schema
    path: Path
    source: Source

    def problem(self, key: str, message: str) -> str:
        """One line of a RecipeError: what is wrong at the dotted `key`, which only a later layer could see."""
        return str(self.source.problem(tuple(key.split(".")), message))

    def check_names(self, known: Known) -> None:
        """Raises RecipeError with a line for each name in the file that is not known."""
        if wrong := _unknown(self.source, known):
            raise RecipeError([str(problem) for problem in sorted(wrong)])


class LoadedRecipe(Loaded[Recipe]):
    """The recipe of a species, from its file."""


class LoadedBaseRecipe(Loaded[BaseRecipe]):
    """The recipe of a base, from its file."""


class LoadedSuite(Loaded[Suite]):
    """A suite, from its file."""


def load_recipe(path: Path | str, overrides: Iterable[str] = (), known: Known | None = None) -> LoadedRecipe:
    """The recipe of a species, its names checked against `known`.

    Raises RecipeError with all of its problems, InputError where there is no such file.
    """
    source = read_source(path, overrides)
    if _makes_a_base(source):
        raise RecipeError(
            [str(source.problem(("base",), f"this recipe makes a base: run speciate base train {source.name}"))]
        )
    return LoadedRecipe(_fitted(Recipe, source, known), Path(path), source)


def load_base_recipe(path: Path | str, overrides: Iterable[str] = (), known: Known | None = None) -> LoadedBaseRecipe:
    """The recipe of a base; raises as `load_recipe` does."""
    source = read_source(path, overrides)
    if "species" in source.values:
        raise RecipeError(
            [str(source.problem(("species",), f"this recipe grows a species: run speciate train {source.name}"))]
        )
    return LoadedBaseRecipe(_fitted(BaseRecipe, source, known), Path(path), source)


def load_suite(path: Path | str) -> LoadedSuite:
    """A suite; raises as `load_recipe` does."""
    source = read_source(path, kind="suite")
    return LoadedSuite(_fitted(Suite, source, None), Path(path), source)


def load_either(
    path: Path | str, overrides: Iterable[str] = (), known: Known | None = None
) -> LoadedRecipe | LoadedBaseRecipe:
    """The recipe of a species or of a base, whichever the file holds; raises as `load_recipe` does."""
    source = read_source(path, overrides)
    if _makes_a_base(source):
        return LoadedBaseRecipe(_fitted(BaseRecipe, source, known), Path(path), source)
    return LoadedRecipe(_fitted(Recipe, source, known), Path(path), source)


def find_data(name: str, recipe_path: Path) -> Path | None:
    """What a recipe names: from the working directory, else from the recipe's folder or the nearest one above it."""
    folder = recipe_path.absolute().parent
    try:
        named = Path(name).expanduser()
        places = [place / named for place in (Path.cwd(), folder, *folder.parents)]
        return next((place for place in places if place.exists()), None)
    except (OSError, RuntimeError, ValueError):
        return None


def _makes_a_base(source: Source) -> bool:
    return "species" not in source.values and isinstance(source.values.get("base"), str)


def _unknown(source: Source, known: Known) -> list[Problem]:
    """A problem for each name in the text, alone, in a list or as a key, that is not known."""
    problems: list[Problem] = []
    for key, (kind, names) in known.items():
        path = tuple(key.split("."))
        given: Any = source.values
        for part in path:
            given = given.get(part) if isinstance(given, dict) else None
        if isinstance(given, list):
            places = [(name, (str(index),)) for index, name in enumerate(given)]
        else:
            places = [(name, (name,)) for name in given] if isinstance(given, dict) else [(given, ())]
        named = [(name, step) for name, step in places if isinstance(name, str)]
        said = unknown_names(kind, [name for name, _ in named], names)
        problems += [source.problem((*path, *step), said[name]) for name, step in named if name in said]
    return problems


def _fitted(schema: type[Schema], source: Source, known: Known | None) -> Schema:
    problems = [*source.problems, *_unknown(source, known or {})]
    broken = {problem.path for problem in problems}
    try:
        recipe = schema.model_validate(source.values)
    except ValidationError as error:
        found = [(key_path(details["loc"], source.values), details) for details in error.errors(include_url=False)]
        for path, details in found:
            # A list of nothing but broken things counts as empty too.
            empty = details["type"] == "too_short" and any(path == other[: len(path)] != other for other, _ in found)
            said = message(details, path, schema)
            if path not in broken and not empty and not _told_before(path, said, source, problems):
                problems.append(source.problem(path, said))
    else:
        if not problems:
            return recipe
    raise RecipeError([str(problem) for problem in sorted(problems)])


def _told_before(path: KeyPath, said: str, source: Source, problems: Sequence[Problem]) -> bool:
    """Whether a stage of training took the fault over from one before it, where it was told of."""
    if path[:1] != ("train",) or not path[1:2] or not path[1].isdigit() or path in source.places:
        return False
    before = {("train", str(stage), *path[2:]) for stage in range(int(path[1]))}
    return any(problem.path in before and problem.message == said for problem in problems)
