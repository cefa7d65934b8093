"""The JSON Schema that editors use is the one that the code holds."""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from speciate.recipe import BaseRecipe, Recipe, json_schema

COMMITTED = Path(__file__).parents[2] / "recipes" / "schema.json"


def sections(kind: Any) -> list[type[BaseModel]]:
    """A model and all that it is made of; of an annotation, those that it may hold."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return [each for part in get_args(kind) for each in sections(part)]
    return [kind, *(each for info in kind.model_fields.values() for each in sections(info.annotation))]


def test_the_committed_schema_is_current():
    current = json.loads(json.dumps(json_schema()))
    assert json.loads(COMMITTED.read_text()) == current, "run: speciate recipe schema --out recipes/schema.json"


def test_every_field_is_described_and_no_other_key_is_allowed():
    definitions: dict[str, Any] = json_schema()["$defs"]
    models = {model.__name__ for kind in (Recipe, BaseRecipe) for model in sections(kind)}
    assert set(definitions) == models
    for name, definition in definitions.items():
        assert definition["additionalProperties"] is False, name
        for field, described in definition["properties"].items():
            # A field that says the same as its section leaves the saying to it.
            section = definitions.get(described.get("$ref", "").removeprefix("#/$defs/"), {})
            assert described.get("description") or section.get("description"), f"{name}.{field}"


def test_bounds_and_defaults_reach_the_schema():
    lora = json_schema()["$defs"]["Lora"]["properties"]
    assert (lora["r"]["minimum"], lora["r"]["maximum"], lora["r"]["default"]) == (1, 1024, 16)
    assert lora["dropout"]["exclusiveMaximum"] == 1


def test_the_committed_recipes_name_the_schema():
    for recipe in COMMITTED.parent.glob("*.yaml"):
        assert recipe.read_text().splitlines()[0] == "# yaml-language-server: $schema=schema.json", recipe
