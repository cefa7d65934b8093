"""A recipe as plain values: written out in full, named by its content, compared, described to an editor."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from ruamel.yaml import YAML

from speciate import storage
from speciate.recipe.base import BaseRecipe
from speciate.recipe.species import Recipe


def resolve(recipe: Recipe | BaseRecipe) -> dict[str, Any]:
    """The whole recipe as JSON values, every default filled in; the same schema reads it back."""
    return recipe.model_dump(mode="json")


def recipe_digest(recipe: Recipe | BaseRecipe) -> str:
    """What names a recipe by its content: comments, order and spelt-out defaults do not count."""
    return storage.digest_json(resolve(recipe))


def as_yaml(resolved: Mapping[str, Any]) -> str:
    """A resolved recipe as the text of a recipe file."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.width = 120
    text = io.StringIO()
    yaml.dump(dict(resolved), text)
    return text.getvalue()


def write_resolved(recipe: Recipe | BaseRecipe, path: Path) -> None:
    """Write the whole recipe, defaults filled in, as a recipe file. Raises StorageError."""
    storage.write_text(path, as_yaml(resolve(recipe)))


def json_schema() -> dict[str, Any]:
    """One JSON Schema for editors: `base` is a section in the recipe of a species, and a name in that of a base."""
    _, definitions = TypeAdapter.json_schemas(
        [("recipe", "validation", TypeAdapter(Recipe)), ("base", "validation", TypeAdapter(BaseRecipe))]
    )
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "speciate recipe",
        "if": {"properties": {"base": {"type": "string"}}, "required": ["base"]},
        "then": {"$ref": "#/$defs/BaseRecipe"},
        "else": {"$ref": "#/$defs/Recipe"},
        **definitions,
    }
