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


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Where two resolved recipes differ, as `train.lora.r: 8 -> 16`; a list is compared as a whole."""
    old, new = dict(leaves(before)), dict(leaves(after))
    return [
        f"{key}: {_shown(old, key)} -> {_shown(new, key)}"
        for key in [*old, *(key for key in new if key not in old)]
        if key not in old or key not in new or old[key] != new[key]
    ]


def leaves(section: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    """The values of a resolved recipe by their dotted keys; a list is one value."""
    found: list[tuple[str, Any]] = []
    for key, value in section.items():
        found += leaves(value, f"{path}{key}.") if isinstance(value, Mapping) else [(f"{path}{key}", value)]
    return found


def _shown(values: Mapping[str, Any], key: str) -> str:
    return storage.canonical_json(values[key]).decode() if key in values else "(absent)"


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
