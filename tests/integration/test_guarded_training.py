"""Guards and looks in real training: an adapter that is held moves less, and a stop at any step changes no byte."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from growing import SETTINGS, STEPS, Bench, bench_on

from speciate.train.divergence import Direction, KlGuard, kl_to_base
from speciate.train.encoding import Encoded
from speciate.train.sft import Measured


@pytest.fixture(scope="module")
def bench(random_llama: Path) -> Bench:
    return bench_on(random_llama)


def guard(bench: Bench, coefficient: float = 5.0, direction: Direction = "forward", batch_size: int = 3) -> KlGuard:
    whole = [Encoded(row.input_ids, row.input_ids) for row in bench.dev]
    return KlGuard(whole, batch_size, coefficient, direction, seed=0)


def apart(bench: Bench, model: Any) -> float:
    with torch.no_grad():
        return float(kl_to_base(model, guard(bench).rows, "forward", int(bench.tokenizer.pad_token_id)))


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_an_adapter_that_is_held_stays_nearer_to_its_base(bench: Bench, tmp_path: Path, direction: Direction) -> None:
    free = bench.train(tmp_path / "free")
    held = bench.train(tmp_path / "held", kl=guard(bench, 50.0, direction))
    assert apart(bench, held.model) < 0.5 * apart(bench, free.model)
    assert apart(bench, bench.adapter()) == 0.0


@pytest.mark.parametrize(
    "settings", [{}, {"dropout": 0.1}, {"gradient_accumulation": 2, "checkpoint_every": 2, "dropout": 0.1}]
)
def test_a_held_training_stopped_at_any_step_ends_with_the_same_bytes(
    bench: Bench, tmp_path: Path, settings: dict[str, Any]
) -> None:
    kl = guard(bench)
    undisturbed = bench.train(tmp_path / "whole", kl=kl, **settings)
    steps = undisturbed.trained.steps
    first, second = sorted(Random(str(tmp_path)).sample(range(1, steps + 1), 2))
    for step in (first, second):
        bench.stopped(tmp_path / "stopped", step, kl=kl, **settings)
    assert bench.train(tmp_path / "stopped", kl=kl, **settings).digest == undisturbed.digest, (first, second)


def test_two_batches_of_a_step_hold_other_rows_and_count_as_one(bench: Bench, tmp_path: Path) -> None:
    once = bench.train(tmp_path / "once", kl=guard(bench, batch_size=4), batch_size=4, epochs=1 / 6)
    halves = bench.train(
        tmp_path / "halves", kl=guard(bench, batch_size=2), batch_size=2, gradient_accumulation=2, epochs=1 / 6
    )
    assert once.trained.steps == halves.trained.steps == 1
    moved = [
        {name: value for name, value in grown.model.named_parameters() if "lora_B" in name} for grown in (once, halves)
    ]
    assert all(torch.allclose(moved[0][name], moved[1][name], atol=1e-4) for name in moved[0])


def test_looking_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    seen: list[int] = []

    def look(model: Any, step: int) -> bool:
        assert not model.training
        torch.rand(7)
        Random().random()
        seen.append(step)
        return False

    plain = bench.train(tmp_path / "plain", dropout=0.1)
    looked = bench.train(tmp_path / "looked", dropout=0.1, measured=Measured(5, look))
    assert looked.digest == plain.digest
    assert seen == [5, 10]


def test_a_look_may_end_the_training(bench: Bench, tmp_path: Path) -> None:
    ended = bench.train(tmp_path, measured=Measured(5, lambda _, step: step >= 5))
    assert ended.trained.steps == 5 < STEPS
    assert (tmp_path / "checkpoints" / "checkpoint-5").is_dir()
    assert SETTINGS.checkpoint_every == 3, "the stop has a checkpoint of its own"
