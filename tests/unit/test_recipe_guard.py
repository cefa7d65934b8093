"""What a recipe may say of its guards, and what is said of guards that do not go together."""

from pathlib import Path
from typing import Any

import pytest

from speciate.errors import RecipeError
from speciate.pipeline.setting import token_loss_of
from speciate.recipe import load_recipe, recipe_digest
from speciate.recipe.resolved import resolve
from speciate.train.token_losses import TokenLoss

RECIPE = Path(__file__).parents[2] / "recipes" / "lean.yaml"


def told(*changes: str) -> str:
    with pytest.raises(RecipeError) as error:
        load_recipe(RECIPE, changes)
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "loss"),
    [
        ("guard.replay=0.2", TokenLoss("nll")),
        ("guard.loss=dft", TokenLoss("dft")),
        ("guard.loss=entropy", TokenLoss("entropy", words=20)),
        ("guard.loss={kind: entropy, words: 5}", TokenLoss("entropy", words=5)),
        ("guard.loss=selective", TokenLoss("selective", threshold=2.5)),
        ("guard.loss.kind=selective", TokenLoss("selective")),
        ("guard.loss={kind: selective, threshold: 4}", TokenLoss("selective", threshold=4.0)),
        ("guard.loss={kind: mask-target, weight: 0.5}", TokenLoss("mask-target", weight=0.5)),
    ],
)
def test_a_loss_is_said_by_its_name_or_as_a_section(change: str, loss: TokenLoss) -> None:
    assert token_loss_of(load_recipe(RECIPE, [change]).recipe) == loss


def test_a_name_and_its_section_are_the_same_recipe() -> None:
    short, long = (load_recipe(RECIPE, [f"guard.loss{rest}"]).recipe for rest in ("=selective", "={kind: selective}"))
    assert recipe_digest(short) == recipe_digest(long)
    assert resolve(short)["guard"]["loss"] == {"kind": "selective", "threshold": 2.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "guard.loss=dtf",
            "guard.loss: must be 'nll', 'dft', 'entropy', 'selective', 'mask-target', not 'dtf'; did you mean 'dft'?",
        ),
        ("guard.loss=3", "guard.loss: must be the name of a loss, or a section with the key 'kind', not 3"),
        (
            "guard.loss={threshold: 3}",
            "guard.loss: must be the name of a loss, or a section with the key 'kind', not {'threshold': 3}",
        ),
        (
            "guard.loss={kind: dft, threshold: 3}",
            "guard.loss.threshold: unknown key; it belongs to another kind of loss",
        ),
        ("guard.loss={kind: selective, treshold: 3}", "guard.loss.treshold: unknown key; did you mean 'threshold'?"),
        ("guard.loss={kind: selective, threshold: 1}", "guard.loss.threshold: must be greater than 1, not 1"),
        ("guard.on_policy={samples: 0}", "guard.on_policy.samples: must be greater than or equal to 1, not 0"),
    ],
)
def test_a_loss_that_is_none_is_named(change: str, message: str) -> None:
    assert told(change) == f"--set {change}: {message}"


def test_replay_rows_cannot_be_held_where_there_are_none() -> None:
    message = "there are no replay rows to hold; raise guard.replay, or set guard.kl.on=general or self"
    assert told("guard.replay=0", "guard.kl={on: replay}") == f"--set guard.kl={{on: replay}}: guard.kl: {message}"
    holds: Any = load_recipe(RECIPE, ["guard.kl={on: replay}"]).recipe.guard.kl
    assert holds.on == "replay"
    assert load_recipe(RECIPE, ["guard.replay=0", "guard.kl={}"]).recipe.guard.kl == holds.model_copy(
        update={"on": "self"}
    )


def test_only_rows_with_answers_are_held_by_their_answers() -> None:
    held: Any = load_recipe(RECIPE, ["guard.kl={on: general, tokens: answers}"]).recipe.guard.kl
    assert (held.on, held.tokens) == ("general", "answers")
    assert "texts that the base says by itself have no answers" in told("guard.kl={tokens: answers}")
    assert "must be 'all' or 'answers', not 'answer'; did you mean 'answers'?" in told(
        "guard.kl={on: general, tokens: answer}"
    )
