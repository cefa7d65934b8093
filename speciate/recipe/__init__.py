"""What a recipe may say, and how a recipe file becomes one: the schemas, the reading, the problems with their lines."""

from speciate.recipe.base import BaseRecipe
from speciate.recipe.loading import (
    Known,
    Loaded,
    LoadedBaseRecipe,
    LoadedRecipe,
    LoadedSuite,
    find_data,
    load_base_recipe,
    load_either,
    load_recipe,
    load_suite,
)
from speciate.recipe.problems import unknown_names
from speciate.recipe.resolved import (
    as_yaml,
    json_schema,
    recipe_digest,
    resolve,
    write_resolved,
)
from speciate.recipe.species import Recipe
from speciate.recipe.suite import Suite

__all__ = [
    "BaseRecipe",
    "Known",
    "Loaded",
    "LoadedBaseRecipe",
    "LoadedRecipe",
    "LoadedSuite",
    "Recipe",
    "Suite",
    "as_yaml",
    "find_data",
    "json_schema",
    "load_base_recipe",
    "load_either",
    "load_recipe",
    "load_suite",
    "recipe_digest",
    "resolve",
    "unknown_names",
    "write_resolved",
]
