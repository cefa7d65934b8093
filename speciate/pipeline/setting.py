"""All that a recipe names, found, read and checked before anything runs."""

import functools
from dataclasses import dataclass, replace
from typing import NoReturn

from speciate.errors import RecipeError
from speciate.evals.sources import Fits, Questions, questions
from speciate.models.base import BaseSource, Compute, context_length, find_compute, load_tokenizer, locate
from speciate.models.sampler import continuation_ids, prompt_ids
from speciate.pipeline.hardware import check_hardware
from speciate.pipeline.names import SUITES, known_names
from speciate.pipeline.niche import NicheParts, niche_of
from speciate.recipe import LoadedRecipe, LoadedSuite, Recipe, find_data, load_suite
from speciate.train.sft import Sft
from speciate.train.token_losses import TokenLoss

OTHER_ORDER = 1_000_003
"""Between the seeds of two stages."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known before anything runs."""

    loaded: LoadedRecipe
    source: BaseSource
    compute: Compute
    niche: NicheParts
    suite: LoadedSuite
    """What must not be forgotten."""
    questions: Questions
    """All that it asks."""
    context: int | None
    """Longest sequence of the base, in tokens."""


def named(loaded: LoadedRecipe) -> tuple[NicheParts, LoadedSuite, Compute]:
    """Find what the recipe names beside its base. Raises InputError of some kind."""
    recipe = loaded.recipe
    loaded.check_names(known_names(loaded.path))
    niche = niche_of(loaded)
    suite_path = find_data(f"{SUITES}/{recipe.evals.suite}.yaml", loaded.path)
    if suite_path is None:
        message = f"there is no suite {recipe.evals.suite!r} (looked for {SUITES}/{recipe.evals.suite}.yaml)"
        raise_problem(loaded, "evals.suite", message)
    suite = load_suite(suite_path)
    found = find_compute(recipe.base.dtype, recipe.train[0].precision)
    compute = replace(found, attention=recipe.hardware.attention)
    check_hardware(loaded, compute)
    return niche, suite, compute


def prepare(loaded: LoadedRecipe) -> Setting:
    """Find everything that the recipe names. Raises InputError of some kind before anything is written."""
    recipe = loaded.recipe
    niche, suite, compute = named(loaded)
    source = locate(recipe.base.model, find_data(recipe.base.model, loaded.path), recipe.base.revision)
    longest = context_length(source)
    if longest is not None and recipe.train[0].max_length > longest:
        raise_problem(loaded, "train.max_length", f"is more than the {longest} tokens that the base can read")
    asked = questions(suite, per_family=recipe.evals.general_items, fits=fitting(source))
    if any(part.role != "general" for part in asked.parts) or asked.harness:
        message = (
            f"{recipe.evals.suite!r} is not for training: all its sources must be general, and none of the harness"
        )
        raise_problem(loaded, "evals.suite", message)
    return Setting(loaded, source, compute, niche, suite, asked, longest)


def fitting(source: BaseSource) -> Fits:
    """Whether a question fits into the base's context, its reference answer too; the tokenizer is loaded when asked."""
    tokenizer = functools.cache(lambda: load_tokenizer(source, chat=False))
    longest = context_length(source)

    def fits(prompt: str, reference: str, new_tokens: int) -> bool:
        answer = len(continuation_ids(tokenizer(), reference)) + 1
        return answer <= new_tokens and (longest is None or len(prompt_ids(tokenizer(), prompt)) + answer <= longest)

    return fits


def sft_of(recipe: Recipe, stage: int = 0) -> Sft:
    """The settings of one stage of the recipe's training, as the trainer takes them."""
    train = recipe.train[stage]
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
        # The rows of each stage come in an order of their own.
        seed=(recipe.seed + stage * OTHER_ORDER) % 2**32,
        processes=recipe.hardware.processes,
        activation_checkpointing=recipe.hardware.activation_checkpointing,
        packing=recipe.hardware.packing,
    )


def token_loss_of(recipe: Recipe) -> TokenLoss:
    """The recipe's loss of each token, as the trainer takes it."""
    return TokenLoss(**dict(recipe.guard.loss))


def raise_problem(loaded: LoadedRecipe, key: str, message: str) -> NoReturn:
    """Raises RecipeError for one key, with its line."""
    raise RecipeError([loaded.problem(key, message)])
