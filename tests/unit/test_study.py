"""The study's grid means what it says, and what is shown follows from the cells alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cells import Bench, CellRecord, Items, bits, key_of
from forgetting import hold, records
from grid import Cell, Grid, cells, read_grid
from pydantic import ValidationError
from shown import show

from speciate.recipe import load_recipe
from speciate.storage import write_json

ROOT = Path(__file__).parents[2]
GRID = read_grid(ROOT / "evals/studies/forgetting.yaml")
FAMILIES = ["a", "b"]


def test_every_cell_of_the_grid_is_a_recipe() -> None:
    found = list(cells(GRID))
    assert len({cell.name for cell in found}) == len(found)
    assert [cell.seed for cell in found] == sorted(cell.seed for cell in found), "whole fronts come first"
    keys = {key_of(ROOT / GRID.recipe, cell) for cell in found}
    assert len(keys) == len(found), "no two cells are the same run"
    recipe = load_recipe(ROOT / GRID.recipe, found[0].overrides).recipe
    assert recipe.train[0].learning_rate == found[0].rate
    assert recipe.train[0].optimizer == "adamw"


def test_all_methods_see_the_same_niche_rows() -> None:
    data = {
        load_recipe(ROOT / GRID.recipe, cell.overrides).recipe.data.model_dump_json() for cell in cells(GRID)
    }  # fmt: skip
    assert len(data) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"reference": "nothing"},
        {"seeds": []},
        {"metods": {}},
        {"methods": {"one": {"says": "x", "learning_rates": []}}},
    ],
)
def test_a_grid_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Grid.model_validate(GRID.model_dump() | change)


def test_scores_in_between_are_no_bits() -> None:
    assert bits([0.0, 1.0, 1.0]) == "011"
    with pytest.raises(ValueError, match="between 0 and 1"):
        bits([0.5])


def small() -> Grid:
    methods = {
        name: {"says": name, "learning_rates": [1e-3, 1e-2]} for name in ("full", "held", "weak")
    }  # fmt: skip
    return Grid.model_validate(
        {"title": "Small", "recipe": GRID.recipe, "seeds": [0, 1, 2], "reference": "full", "methods": methods}
    )


TRUTH = {"full": ((0.3, 0.1), (0.6, 0.3)), "held": ((0.3, 0.01), (0.7, 0.02)), "weak": ((0.05, 0.0), (0.1, 0.0))}


def record(cell: Cell) -> CellRecord:
    """What a run with known chances gives."""
    gain, loss = TRUTH[cell.method][0 if cell.rate < 5e-3 else 1]
    random = np.random.default_rng(cell.seed)
    niche, general = random.random(200) < gain, random.random(400) > loss
    return CellRecord(
        method=cell.method, learning_rate=cell.rate, seed=cell.seed,
        asked=key_of(ROOT / GRID.recipe, cell), ended="trained",
        niche="".join("01"[int(one)] for one in niche), general="".join("01"[int(one)] for one in general),
        nats=loss / 10, dev_niche=gain, steps=10, trained_tokens_per_second=100.0, versions={"speciate": "0"},
    )  # fmt: skip


def written(out: Path, grid: Grid, left_out: tuple[str, ...] = ()) -> dict[str, CellRecord]:
    bench = Bench(
        niche=Items(digest="n", families=FAMILIES * 100),
        general=Items(digest="g", families=FAMILIES * 200),
        base_niche="0" * 200,
        base_general="1" * 400,
        base_digest="b",
    )
    hold(out / "items.json", bench)
    for cell in cells(grid):
        if cell.name not in left_out:
            write_json(out / "cells" / f"{cell.name}.json", record(cell).model_dump(mode="json"))
    return records(out, ROOT / grid.recipe, list(cells(grid)))


def test_what_is_shown_follows_from_the_cells(tmp_path: Path) -> None:
    grid = small()
    show(grid, tmp_path, written(tmp_path, grid))
    summary = json.loads((tmp_path / "summary.json").read_text())
    held = summary["methods"]["held"]["at_gain"]
    assert 0.85 < held["removed"] < 1
    assert held["removed_ci95"][0] < held["removed"] < held["removed_ci95"][1]
    assert held["p_holm"] < 0.05
    assert summary["methods"]["held"]["rate_by_dev"] == 1e-2
    readme = (tmp_path / "README.md").read_text()
    assert "| `weak`: weak |" in readme
    assert "never gains as much" in readme
    assert (tmp_path / "front.svg").read_text().startswith("<?xml")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    show(grid, tmp_path, records(tmp_path, ROOT / grid.recipe, list(cells(grid))))
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_a_method_that_lacks_a_cell_waits_and_one_that_diverged_is_told_of(tmp_path: Path) -> None:
    grid = small()
    found = written(tmp_path, grid, left_out=("weak-lr0.01-seed1",))
    diverged = Cell("held", 1e-2, 1, ())
    cell = next(cell for cell in cells(grid) if cell.name == diverged.name)
    found[cell.name] = CellRecord(
        method="held", learning_rate=1e-2, seed=1, asked=key_of(ROOT / GRID.recipe, cell), ended="diverged"
    )
    show(grid, tmp_path, found)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["methods"]) == {"full", "held"}
    assert [point["learning_rate"] for point in summary["methods"]["held"]["points"]] == [1e-3]
    assert summary["diverged"] == ["held-lr0.01-seed1"]


def test_a_cell_of_another_recipe_is_not_taken(tmp_path: Path) -> None:
    grid = small()
    written(tmp_path, grid)
    other = grid.model_copy(update={"common": {"train.epochs": 3.0}})
    assert records(tmp_path, ROOT / grid.recipe, list(cells(other))) == {}


def test_other_items_are_no_cells_of_the_same_study(tmp_path: Path) -> None:
    grid = small()
    written(tmp_path, grid)
    bench = Bench.model_validate_json((tmp_path / "items.json").read_text())
    with pytest.raises(RuntimeError, match="items or base differ"):
        hold(tmp_path / "items.json", bench.model_copy(update={"base_digest": "other"}))
