"""All that a recipe names, found, read and checked before anything runs."""

from dataclasses import dataclass
from typing import NoReturn

from speciate.errors import RecipeError
from speciate.evals.general import Suite, load_suite, suite_items, suite_texts
from speciate.models.base import BaseSource, Compute, context_length, find_compute, locate
from speciate.niches.base import Item
from speciate.pipeline.names import SUITES, known_names
from speciate.pipeline.niche import NicheParts, niche_of
from speciate.recipe import LoadedRecipe, Recipe, find_data
from speciate.train.sft import Sft


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known before anything runs."""

    loaded: LoadedRecipe
    source: BaseSource
    compute: Compute
    niche: NicheParts
    suite: Suite
    general: list[Item]
    texts: list[str]


def prepare(loaded: LoadedRecipe) -> Setting:
    """Find everything that the recipe names. Raises InputError of some kind before anything is written."""
    recipe = loaded.recipe
    loaded.check_names(known_names(loaded.path))
    niche = niche_of(loaded)
    suite_path = find_data(f"{SUITES}/{recipe.evals.suite}.yaml", loaded.path)
    if suite_path is None:
        message = f"there is no suite {recipe.evals.suite!r} (looked for {SUITES}/{recipe.evals.suite}.yaml)"
        raise_problem(loaded, "evals.suite", message)
    suite = load_suite(suite_path)
    source = locate(recipe.base.model, find_data(recipe.base.model, loaded.path), recipe.base.revision)
    longest = context_length(source)
    if longest is not None and recipe.train.max_length > longest:
        raise_problem(loaded, "train.max_length", f"is more than the {longest} tokens that the base can read")
    compute = find_compute(recipe.base.dtype, recipe.train.precision)
    general = suite_items(suite, recipe.evals.general_items)
    return Setting(loaded, source, compute, niche, suite, general, suite_texts(suite, suite_path))


def sft_of(recipe: Recipe) -> Sft:
    """The recipe's training settings, as the trainer takes them."""
    train = recipe.train
    return Sft(
        epochs=train.epochs,
        batch_size=train.batch_size,
        gradient_accumulation=train.gradient_accumulation,
        optimizer=train.optimizer,
        learning_rate=train.learning_rate,
        warmup=train.warmup,
        schedule=train.schedule,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        checkpoint_every=train.checkpoint_every,
        seed=recipe.seed,
    )


def raise_problem(loaded: LoadedRecipe, key: str, message: str) -> NoReturn:
    """Raises RecipeError for one key, with its line."""
    raise RecipeError([loaded.problem(key, message)])
