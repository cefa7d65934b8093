"""What a recipe may say, and how a recipe file becomes one: the schemas, the reading, the problems with their lines."""

from speciate.recipe.base import BaseRecipe
from speciate.recipe.loading import (
    Known,
    Loaded,
    LoadedBaseRecipe,
    LoadedRecipe,
    find_data,
    load_base_recipe,
    load_either,
    load_recipe,
)
from speciate.recipe.problems import unknown_names
from speciate.recipe.resolved import as_yaml, differing_keys, json_schema, recipe_digest, resolve, write_resolved
from speciate.recipe.species import Recipe

__all__ = [
    "BaseRecipe",
    "Known",
    "Loaded",
    "LoadedBaseRecipe",
    "LoadedRecipe",
    "Recipe",
    "as_yaml",
    "differing_keys",
    "find_data",
    "json_schema",
    "load_base_recipe",
    "load_either",
    "load_recipe",
    "recipe_digest",
    "resolve",
    "unknown_names",
    "write_resolved",
]
