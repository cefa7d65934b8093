"""`speciate recipe`: whether a recipe is right, and what one may say."""

import json
from pathlib import Path
from typing import Any

import click

from speciate.cli import names
from speciate.cli.options import Group, as_json_option
from speciate.endings import answer, document


@click.group(cls=Group)
def recipe() -> None:
    """Check recipes, and describe them to an editor."""


@recipe.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(), shell_complete=names.one_of(names.recipes))
@as_json_option
def check(files: tuple[str, ...], as_json: bool) -> int:
    """Report every problem of recipe FILES.

    Each with its line; nothing is loaded or trained. Exit status 2 where anything is wrong.
    """
    from speciate.errors import InputError, RecipeError
    from speciate.pipeline.names import known_names
    from speciate.pipeline.niche import niche_of
    from speciate.recipe import LoadedRecipe, load_either, recipe_digest

    problems: list[str] = []
    fine: list[dict[str, Any]] = []
    for file in files:
        try:
            loaded = load_either(file, known=known_names(file))
            if isinstance(loaded, LoadedRecipe):
                kind, name = "species", loaded.recipe.species
                niche_of(loaded)
            else:
                kind, name = "base", loaded.recipe.base
            fine.append({"file": file, "kind": kind, "name": name, "digest": recipe_digest(loaded.recipe)})
        except RecipeError as error:
            problems += error.problems
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise RecipeError(problems)
    text = "\n".join(f"{found['file']}: right ({found['kind']} {found['name']})" for found in fine)
    answer(document("recipe-check/1", recipes=fine), text, as_json)
    return 0


@recipe.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write it to this file instead of stdout.")
def schema(out: Path | None) -> int:
    """Print the JSON Schema of recipes, for editors.

    An editor with a YAML language server then completes keys and marks mistakes; recipes/schema.json is this one.
    """
    from speciate import storage
    from speciate.recipe import json_schema

    if out:
        storage.write_text(out, json.dumps(json_schema(), indent=2) + "\n")
    else:
        answer(json_schema(), "", as_json=True)
    return 0
