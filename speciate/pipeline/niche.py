"""What a recipe's niche stands for: where its items come from, who judges them, what the base has seen of it."""

from collections.abc import Callable
from dataclasses import dataclass

from speciate.data.build import Wanted
from speciate.data.primer import digests
from speciate.errors import RecipeError
from speciate.niches.lean import niche as lean
from speciate.niches.lean.families import AUTOMATION, BY_HAND, FAMILIES, capped
from speciate.niches.splits import Stream
from speciate.pipeline.base import PRIMER
from speciate.recipe import LoadedRecipe, Recipe, find_data
from speciate.recipe.lora import FROM_GENERAL_ROWS


@dataclass(frozen=True, slots=True)
class NicheParts:
    """The niche of one recipe."""

    stream: Stream
    verifier: Callable[[Callable[[int, int], None]], lean.LeanVerifier]
    """From a callback for the bytes of a first set-up to the verifier."""
    wanted: Wanted
    seen: frozenset[str]
    """Digests of items that the shipped base was trained on."""


def niche_of(loaded: LoadedRecipe) -> NicheParts:
    """The parts that the recipe names. Raises RecipeError where its families and their weights do not go together."""
    recipe = loaded.recipe
    restricted = recipe.niche.track == "restricted"
    families = recipe.niche.families or tuple(
        name for name in (BY_HAND if restricted else FAMILIES) if name not in recipe.niche.held_out
    )
    if not families:
        raise RecipeError([loaded.problem("niche.held_out", "holds out every family, so there is none to train on")])
    named = [("families", families), ("held_out", recipe.niche.held_out)]
    if restricted and (wrong := [(key, name) for key, names in named for name in names if name not in BY_HAND]):
        text = "has proofs by automation, which the restricted track leaves out; without it are"
        raise RecipeError(
            [loaded.problem(f"niche.{key}", f"{name!r} {text} {', '.join(BY_HAND)}") for key, name in wrong]
        )
    weights = recipe.data.weights or {}
    if unused := [name for name in weights if name not in families]:
        raise RecipeError(
            [loaded.problem(f"data.weights.{name}", "is a family that is not trained on") for name in unused]
        )
    training, evaluation = capped(families, weights), capped(families, {})
    if training is None or evaluation is None:
        raise RecipeError(
            [
                loaded.problem(
                    "niche.families", f"{', '.join(families)}: Lean's own automation proves all of these; add others"
                )
            ]
        )
    wanted = Wanted(
        families=families,
        held_out=recipe.niche.held_out,
        train=recipe.data.train_items,
        dev=recipe.data.dev_items,
        test=recipe.data.test_items,
        transfer=recipe.data.held_out_items,
        replay=recipe.guard.replay,
        weights=training,
        evaluation_weights=evaluation,
        general=general_rows(recipe),
    )
    primer = find_data(PRIMER, loaded.path)

    def verifier(on_setup: Callable[[int, int], None]) -> lean.LeanVerifier:
        return lean.LeanVerifier(on_setup, AUTOMATION if restricted else ())

    return NicheParts(lean.stream, verifier, wanted, frozenset(digests(primer)) if primer else frozenset())


def general_rows(recipe: Recipe) -> int:
    """Rows of general skills that are read and not trained on: those that a guard holds, or that an init looks at."""
    kl, lora = recipe.guard.kl, recipe.lora
    return max(
        kl.texts if kl and kl.on == "general" else 0,
        lora.init_rows if lora.init in FROM_GENERAL_ROWS else 0,
    )
