"""The recipes for real models, on a small model of random weights that has their architecture: as far as that can show
that they run to a verdict, in one process and in several.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_main_job import PROGRAM, run
from test_main_job import environment as environment

from speciate.pipeline import Plan
from speciate.reports.plan import render_plan

SMALL = {
    "niche.families": "[conjunctions]",
    "niche.held_out": "[]",
    "data.weights": "null",
    "data.train_items": "24",
    "data.dev_items": "2",
    "data.test_items": "6",
    "data.held_out_items": "1",
    "train.epochs": "1",
    "train.batch_size": "4",
    "train.gradient_accumulation": "2",
    "train.lora.r": "4",
    "train.checkpoint_every": "2",
    "guard.kl.texts": "8",
    "evals.suite": "general-tiny",
    "evals.general_items": "1",
    "evals.max_new_tokens": "16",
    "gates.min_gain": "-1",
    "gates.max_forgetting": "1",
}


@pytest.fixture(scope="module")
def small_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of Qwen3 with queries shared by two heads, random, and the tokenizer of the shipped base."""
    import torch
    from transformers import AutoTokenizer

    from speciate.models.tiny import make_model

    folder = tmp_path_factory.mktemp("small-qwen3")
    tokenizer = AutoTokenizer.from_pretrained("data/base/tiny")
    model: Any = make_model(
        vocabulary=len(tokenizer), hidden=64, layers=2, heads=4, kv_heads=2, intermediate=192, context=1024, seed=0
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def adapter_in(folder: Path) -> dict[str, Any]:
    """The tensors that a run has saved."""
    from safetensors.torch import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


def arguments(recipe: str, changes: dict[str, str]) -> list[str]:
    pairs = [part for key, value in (SMALL | changes).items() for part in ("--set", f"{key}={value}")]
    return [*PROGRAM, "train", f"recipes/{recipe}.yaml", *pairs, "--json"]


@pytest.mark.lean
@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("lean-qwen3-4b", {}),
        ("lean-qwen3-4b", {"base.quantization": "nf4"}),
        ("lean-qwen3-0.6b", {"hardware.processes": "2", "train.gradient_accumulation": "1"}),
    ],
)
def test_it_runs_to_a_verdict(
    small_qwen3: Path, environment: dict[str, str], tmp_path: Path, recipe: str, changes: dict[str, str]
) -> None:
    import torch

    given = arguments(recipe, {"base.model": str(small_qwen3)} | changes)
    done = run([*given, "--out", str(tmp_path / "run")], environment)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads(done.stdout)
    assert record["intact"]["logits_identical"] is True
    assert record["intact"]["base_digest_before"] == record["intact"]["base_digest_after"]
    assert {tensor.dtype for tensor in adapter_in(tmp_path / "run").values()} == {torch.float32}
    log = json.loads((tmp_path / "run" / "checkpoints" / "log.json").read_text())
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3]
    assert (tmp_path / "run" / "workers" / "accelerate.yaml").exists() is ("hardware.processes" in changes)


@pytest.mark.parametrize("recipe", ["lean-qwen3-4b", "lean-qwen3-0.6b"])
def test_a_dry_run_without_the_weights_says_what_it_can(recipe: str, tmp_path: Path) -> None:
    environment = os.environ | {"SPECIATE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = run([*PROGRAM, "train", f"recipes/{recipe}.yaml", "--dry-run", "--json"], environment)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["rows_in_a_step"] == 32
    assert plan["steps"] == -(-plan["rows"] * 2 // 32)
    assert plan["evaluation_items"] > 1000
    assert plan["parameters"] is plan["row_tokens"] is plan["estimated_memory_bytes"] is plan["sample"] is None
    assert plan["base"]["digest"] is None
    assert "time and memory" in plan["unknown"]
    assert "hub cannot be reached" in plan["unknown"][-1]
    text = render_plan(Plan.model_validate(plan))
    assert "Base        Qwen/Qwen3-" in text
    assert "(not here)" in text
    assert "Unknown     parameters and trainable parameters" in text


def test_the_recipe_check_finds_them_right() -> None:
    checked = run(
        [*PROGRAM, "recipe", "check", "recipes/lean-qwen3-4b.yaml", "recipes/lean-qwen3-0.6b.yaml"], dict(os.environ)
    )
    assert checked.returncode == 0, checked.stderr
    assert "right (species lean-prover-qwen3-4b)" in checked.stdout


def test_with_the_weights_a_dry_run_knows_all(small_qwen3: Path, tmp_path: Path) -> None:
    environment = os.environ | {"SPECIATE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = run([*arguments("lean-qwen3-4b", {"base.model": str(small_qwen3)}), "--dry-run"], environment)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["unknown"] == plan["warnings"] == []
    assert plan["trainable_parameters"] > 0
    assert plan["estimated_memory_bytes"] >= sum(plan["training_memory_bytes"].values())
    assert plan["sample"].count("⟦") == 1
