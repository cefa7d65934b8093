"""From a recipe file to a recipe that fits its schema, or to all of its problems at once.

Knows nothing of what the names in a recipe stand for; a later layer that does adds its problems, with their lines,
through `Loaded`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from speciate.errors import RecipeError
from speciate.recipe.base import BaseRecipe
from speciate.recipe.problems import key_path, message, unknown_names
from speciate.recipe.species import Recipe
from speciate.recipe.text import Source, read_source

Schema = TypeVar("Schema", Recipe, BaseRecipe, covariant=True)


@dataclass(frozen=True)
class Loaded(Generic[Schema]):
    """A recipe that fits its schema, and the file that it came from."""

    recipe: Schema
    path: Path
    source: Source

    def problem(self, key: str, message: str) -> str:
        """One line of a RecipeError: what is wrong at the dotted `key`, which only a later layer could see."""
        return str(self.source.problem(tuple(key.split(".")), message))

    def unknown_names(self, key: str, kind: str, known: Collection[str]) -> list[str]:
        """A line for each name in the list or mapping at the dotted `key` that is not one of `known`."""
        path = tuple(key.split("."))
        given: Any = self.recipe
        for part in path:
            given = getattr(given, part)
        names: list[str] = [*(given or ())]
        wrong = unknown_names(kind, names, known)
        steps = names if isinstance(given, Mapping) else [str(index) for index in range(len(names))]
        return [
            str(self.source.problem((*path, step), wrong[name]))
            for step, name in zip(steps, names, strict=True)
            if name in wrong
        ]


class LoadedRecipe(Loaded[Recipe]):
    """The recipe of a species, from its file."""


class LoadedBaseRecipe(Loaded[BaseRecipe]):
    """The recipe of a base, from its file."""


def load_recipe(path: Path | str, overrides: Iterable[str] = ()) -> LoadedRecipe:
    """The recipe of a species. Raises RecipeError with all of its problems, InputError where there is no such file."""
    source = read_source(path, overrides)
    if _makes_a_base(source):
        raise RecipeError(
            [str(source.problem(("base",), f"this recipe makes a base: run speciate base train {source.name}"))]
        )
    return LoadedRecipe(_fitted(Recipe, source), Path(path), source)


def load_base_recipe(path: Path | str, overrides: Iterable[str] = ()) -> LoadedBaseRecipe:
    """The recipe of a base; raises as `load_recipe` does."""
    source = read_source(path, overrides)
    if "species" in source.values:
        raise RecipeError(
            [str(source.problem(("species",), f"this recipe grows a species: run speciate train {source.name}"))]
        )
    return LoadedBaseRecipe(_fitted(BaseRecipe, source), Path(path), source)


def load_either(path: Path | str, overrides: Iterable[str] = ()) -> LoadedRecipe | LoadedBaseRecipe:
    """The recipe of a species or of a base, whichever the file holds; raises as `load_recipe` does."""
    source = read_source(path, overrides)
    if _makes_a_base(source):
        return LoadedBaseRecipe(_fitted(BaseRecipe, source), Path(path), source)
    return LoadedRecipe(_fitted(Recipe, source), Path(path), source)


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


def _fitted(schema: type[Schema], source: Source) -> Schema:
    problems = list(source.problems)
    broken = {problem.path for problem in problems}
    try:
        recipe = schema.model_validate(source.values)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            path = key_path(details["loc"], source.values)
            if path not in broken:
                problems.append(source.problem(path, message(details, path, schema)))
    else:
        if not problems:
            return recipe
    raise RecipeError([str(problem) for problem in sorted(problems)])
