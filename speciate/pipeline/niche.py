"""What a recipe's niche stands for: where its items come from, who judges them, what the base has seen of it."""

from collections.abc import Callable
from dataclasses import dataclass

from speciate.data.build import Stream, Wanted
from speciate.data.primer import digests
from speciate.errors import RecipeError
from speciate.niches.lean import niche as lean
from speciate.niches.lean.families import FAMILIES
from speciate.pipeline.base import PRIMER
from speciate.recipe import LoadedRecipe, find_data


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
    """The parts that the recipe names. Raises RecipeError where none is trained on, or a weight is for nothing."""
    recipe = loaded.recipe
    families = recipe.niche.families or tuple(name for name in FAMILIES if name not in recipe.niche.held_out)
    if not families:
        raise RecipeError([loaded.problem("niche.held_out", "holds out every family, so there is none to train on")])
    weights = recipe.data.weights or {}
    if unused := [name for name in weights if name not in families]:
        raise RecipeError(
            [loaded.problem(f"data.weights.{name}", "is a family that is not trained on") for name in unused]
        )
    wanted = Wanted(
        families=families,
        held_out=recipe.niche.held_out,
        train=recipe.data.train_items,
        dev=recipe.data.dev_items,
        test=recipe.data.test_items,
        transfer=recipe.data.held_out_items,
        replay=recipe.guard.replay,
        weights=weights,
    )
    primer = find_data(PRIMER, loaded.path)
    return NicheParts(lean.stream, lean.LeanVerifier, wanted, frozenset(digests(primer)) if primer else frozenset())
