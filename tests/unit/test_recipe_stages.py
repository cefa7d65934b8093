"""`train:` as one section or as a list of stages: what a later stage takes over, and what is wrong with one."""

from pathlib import Path

import pytest

from speciate.errors import RecipeError
from speciate.recipe import Recipe, load_recipe, recipe_digest, resolve, write_resolved

HEAD = "species: prover\nbase: {model: data/base/tiny}\nniche: {name: lean}\n"


def loaded(place: Path, train: str, *overrides: str) -> Recipe:
    """A recipe with this text under `train:`."""
    (place / "r.yaml").write_text(f"{HEAD}train: {train}\n")
    return load_recipe(place / "r.yaml", overrides).recipe


def test_one_section_is_one_stage_and_is_written_as_one(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, "{epochs: 2}")
    assert len(recipe.train) == 1
    assert isinstance(resolve(recipe)["train"], dict)


def staged(place: Path, *stages: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """A recipe with these stages, each as YAML in one line."""
    return loaded(place, "".join(f"\n- {stage}" for stage in stages), *overrides)


def test_a_later_stage_takes_over_what_it_does_not_name(tmp_path: Path) -> None:
    stages = ("{epochs: 2, learning_rate: 2e-3, lora: {r: 8}}", "{epochs: 1, rows: niche}", "{rows: all}")
    recipe = staged(tmp_path, *stages)
    assert [(stage.epochs, stage.learning_rate, stage.rows, stage.lora.r) for stage in recipe.train] == [
        (2, 2e-3, "all", 8),
        (1, 2e-3, "niche", 8),
        (1, 2e-3, "all", 8),
    ]
    write_resolved(recipe, tmp_path / "again.yaml")
    assert load_recipe(tmp_path / "again.yaml").recipe == recipe
    assert recipe_digest(load_recipe(tmp_path / "again.yaml").recipe) == recipe_digest(recipe)


def test_an_override_reaches_a_stage_by_its_number(tmp_path: Path) -> None:
    stages = ("{epochs: 2, lora: {r: 8}}", "{epochs: 1}")
    assert [stage.epochs for stage in staged(tmp_path, *stages, overrides=("train.1.epochs=5",)).train] == [2, 5]
    assert staged(tmp_path, *stages, overrides=("train.0.lora.r=4",)).lora.r == 4
    assert [stage.epochs for stage in staged(tmp_path, *stages, overrides=("train=[{epochs: 7}]",)).train] == [7]


@pytest.mark.parametrize(
    ("stages", "overrides", "message"),
    [
        (["{epochs: 2}", "{lora: {r: 4}}"], [], "train: stage 2 has 'lora', which stands in the first stage only"),
        (["{epochs: 2}", "{epoch: 4}"], [], "train.1.epoch: unknown key; did you mean 'epochs'?"),
        (["{epochs: 0}", "{rows: niche}"], [], "train.0.epochs: must be greater than 0, not 0"),
        (["{epochs: 2}", "3"], [], "train.1: must be a section of 'key: value' lines, not 3"),
        (["{epochs: 2}", "{rows: most}"], [], "train.1.rows: must be 'all', 'niche' or 'general', not 'most'"),
        (["{epochs: 2}"], ["train.3.epochs=1"], "numbered from 0, so it has no key '3'"),
        (["{epochs: 2}"], ["train.lora.r=1"], "numbered from 0, so it has no key 'lora'"),
        (["{epochs: 2}", "{rows: general, epochs: 0}", "{rows: niche}"], [], "train.1.epochs: must be greater than 0"),
        (["{epochs: 2}", "{rows: general}"], ["guard.replay=0"], "guard: a stage of train reads general rows alone"),
        (["{epochs: 2}", "{rows: niche}"], ["hardware.processes=2"], "several processes train one stage only"),
        (["{epochs: 2}", "{optimizer: muon}"], ["train.0.lora={kind: oft}"], "train.1.lora: kind: oft has parameters"),
    ],
)
def test_what_is_wrong_with_a_stage_is_told_once(
    tmp_path: Path, stages: list[str], overrides: list[str], message: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        staged(tmp_path, *stages, overrides=tuple(overrides))
    assert len(caught.value.problems) == 1, caught.value.problems
    assert message in caught.value.problems[0]


def test_a_fault_that_two_stages_name_themselves_is_told_of_both(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        staged(tmp_path, "{epochs: 0}", "{epochs: 0}")
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ["train.0.epochs", "train.1.epochs"]


def test_no_stage_at_all_is_no_training(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="train: must have at least one item"):
        loaded(tmp_path, "[]")
    with pytest.raises(RecipeError, match="train: must be a section of 'key: value' lines"):
        loaded(tmp_path, "fast")
