"""Training by TRL's own trainer on a small random Llama: the same bytes however often it was stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from growing import FLOAT32, SETTINGS, STEPS, Bench, Grown, bench_on
from speaking import answer

from speciate.errors import LongestBatchFailed, NothingTrainable, TrainingDiverged
from speciate.evals.intact import check_adapter, check_base, probe
from speciate.models.adapter import trainable, weights_digest
from speciate.models.attaching import attach
from speciate.models.base import (
    Compute,
    Precision,
    load_model,
    memory_digest,
)
from speciate.models.shape import LoraShape
from speciate.niches import skills
from speciate.storage import read_json
from speciate.train.checkpoints import MARK, newest
from speciate.train.divergence import KlGuard
from speciate.train.encoding import IGNORED, Encoded, encode
from speciate.train.preflight import preflight
from speciate.train.sft import Step
from speciate.train.token_losses import TokenLoss


@pytest.fixture(scope="module")
def bench(random_llama: Path) -> Bench:
    return bench_on(random_llama)


@pytest.fixture(scope="module")
def whole(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    """An undisturbed run."""
    return bench.train(tmp_path_factory.mktemp("whole"))


def test_one_seed_gives_the_same_bytes_and_another_one_others(bench: Bench, whole: Grown, tmp_path: Path) -> None:
    assert bench.train(tmp_path / "again").digest == whole.digest
    assert bench.train(tmp_path / "other", seed=1).digest != whole.digest


def test_muon_moves_every_matrix_alike(bench: Bench, whole: Grown, tmp_path: Path) -> None:
    before = {name: value.detach().clone() for name, value in bench.adapter().named_parameters() if "lora_" in name}
    once = bench.train(tmp_path / "once", optimizer="muon", epochs=4 / len(bench.rows), warmup=0.0, weight_decay=0.0)
    assert once.digest != whole.digest
    moved = {
        name: float((value.detach() - before[name]).square().mean().sqrt())
        for name, value in once.model.named_parameters()
        if "lora_B" in name
    }
    assert len(moved) == 14
    expected = 0.2 * SETTINGS.learning_rate
    assert all(0.5 * expected < size < 1.5 * expected for size in moved.values()), moved


def test_each_step_is_told_and_logged(bench: Bench, tmp_path: Path) -> None:
    steps: list[Step] = []
    grown = bench.train(tmp_path, on_step=steps.append)
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    assert STEPS == SETTINGS.steps(len(bench.rows)) == grown.trained.steps
    assert steps[-1].loss < steps[0].loss
    rates = [step.learning_rate for step in steps]
    assert rates.index(max(rates)) in (1, 2)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert grown.trained.tokens == 2 * sum(len(row.input_ids) for row in bench.rows)
    log = read_json(tmp_path / "checkpoints" / "log.json")
    assert [entry["step"] for entry in log if "eval_loss" in entry] == [3, 6, 9, 12]


@pytest.mark.parametrize(
    "settings",
    [{}, {"dropout": 0.1}, {"gradient_accumulation": 2, "checkpoint_every": 2}, {"optimizer": "muon", "dropout": 0.1}],
)
def test_stopped_at_any_step_it_ends_with_the_same_bytes(
    bench: Bench, tmp_path: Path, settings: dict[str, Any]
) -> None:
    undisturbed = bench.train(tmp_path / "whole", **settings)
    steps = undisturbed.trained.steps
    every = settings.get("checkpoint_every", SETTINGS.checkpoint_every)
    first, second = sorted(Random(str(tmp_path)).sample(range(1, steps + 1), 2))
    out = tmp_path / "stopped"
    bench.stopped(out, first, **settings)
    bench.stopped(out, second, **settings)
    resumed = bench.train(out, **settings)
    assert resumed.trained.resumed_from == (second - 1) // every * every, (first, second)
    assert resumed.digest == undisturbed.digest, f"stopped after {first} and {second} of {steps} steps"


def test_a_finished_training_is_loaded_not_repeated(bench: Bench, whole: Grown) -> None:
    again = bench.train(whole.adapter.parent)
    assert (again.trained.resumed_from, again.trained.steps, again.trained.tokens) == (STEPS, STEPS, 0)
    assert again.digest == whole.digest


def damage_truncated(checkpoint: Path) -> None:
    path = checkpoint / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def damage_one_bit(checkpoint: Path) -> None:
    path = checkpoint / "optimizer.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_missing_file(checkpoint: Path) -> None:
    (checkpoint / "rng_state.pth").unlink()


def damage_missing_mark(checkpoint: Path) -> None:
    (checkpoint / MARK).unlink()


def damage_mark(checkpoint: Path) -> None:
    (checkpoint / MARK).write_text("{")


@pytest.mark.parametrize(
    "damage", [damage_truncated, damage_one_bit, damage_missing_file, damage_missing_mark, damage_mark]
)
def test_a_damaged_checkpoint_is_passed_over(
    bench: Bench, whole: Grown, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    bench.stopped(tmp_path, 8)
    checkpoints = tmp_path / "checkpoints"
    assert {path.name for path in checkpoints.glob("checkpoint-*")} == {"checkpoint-3", "checkpoint-6"}
    damage(checkpoints / "checkpoint-6")
    assert newest(checkpoints) == checkpoints / "checkpoint-3"
    assert not (checkpoints / "checkpoint-6").exists()
    if damage is damage_truncated:
        resumed = bench.train(tmp_path)
        assert resumed.trained.resumed_from == 3
        assert resumed.digest == whole.digest
    else:
        damage(checkpoints / "checkpoint-3")
        assert newest(checkpoints) is None


def test_nothing_trainable_is_found_before_the_first_step(bench: Bench) -> None:
    model = bench.adapter()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(NothingTrainable, match="no parameter of the adapter requires a gradient"):
        preflight(model, bench.rows, SETTINGS, 0, FLOAT32)


def test_the_longest_batch_is_tried_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = bench.adapter(dropout=0.5)
    state = torch.get_rng_state()
    shapes: list[tuple[int, ...]] = []
    forward = model.forward

    def seen(**given: Any) -> Any:
        shapes.append(tuple(given["input_ids"].shape))
        return forward(**given)

    monkeypatch.setattr(model, "forward", seen)
    preflight(model, bench.rows, SETTINGS, 0, FLOAT32)
    assert shapes == [(4, max(len(row.input_ids) for row in bench.rows))]
    assert torch.equal(torch.get_rng_state(), state), "a check may not move the dice"
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_longest_batch_that_does_not_fit_says_what_to_set(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = bench.adapter()

    def failing(error: Exception) -> None:
        def forward(**_: Any) -> None:
            raise error

        monkeypatch.setattr(model, "forward", forward)

    for error in (
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ):
        failing(error)
        with pytest.raises(LongestBatchFailed, match=r"4 rows of \d+ tokens.* train\.batch_size=2 .*accumulation=2"):
            preflight(model, bench.rows, SETTINGS, 0, FLOAT32)
    failing(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        preflight(model, bench.rows, SETTINGS, 0, FLOAT32)


def test_it_learns_an_answer_and_where_to_stop(bench: Bench, tmp_path: Path) -> None:
    items = [item for item in skills.sample("parity", 12, "rows") if item.reference == "even"]
    rows = [encode(bench.tokenizer, item.prompt, item.reference) for item in items]
    asked = [item.prompt for item in items]
    before = answer(load_model(bench.source, FLOAT32), bench.tokenizer, asked, max_new_tokens=20, batch_size=4)
    assert {found.tokens for found in before} == {20}, "a random model does not stop"
    grown = replace(bench, rows=rows, dev=[]).train(tmp_path, epochs=20, schedule="constant", checkpoint_every=1000)
    answers = answer(grown.model, bench.tokenizer, asked, max_new_tokens=20, batch_size=4)
    taught = sum(label != IGNORED for label in rows[0].labels)
    assert {(found.text, found.tokens) for found in answers} == {("even", taught)}


def test_a_diverged_loss_is_named(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"the loss is (nan|inf) at step \d+: lower train\.learning_rate"):
        bench.train(tmp_path, learning_rate=1e30)


def test_weights_that_are_not_finite_are_found_after_the_last_step(bench: Bench, tmp_path: Path) -> None:
    import torch

    grown = bench.train(tmp_path, epochs=0.2)
    first = next(iter(trainable(grown.model).values()))
    with torch.no_grad():
        first[0, 0] = float("inf")
    with pytest.raises(TrainingDiverged, match="1 adapter tensors are not finite"):
        check_adapter(grown.model, "", probe(bench.tokenizer, ["What is 2 + 3?"], grown.model.device))


def test_accumulated_batches_are_one_large_batch(bench: Bench, tmp_path: Path) -> None:
    import torch

    eight = replace(bench, rows=bench.rows[4:12], dev=[])
    steps: list[Step] = []
    large = eight.train(tmp_path / "large", epochs=1, batch_size=8, on_step=steps.append)
    parts = eight.train(tmp_path / "parts", epochs=1, batch_size=2, gradient_accumulation=4, on_step=steps.append)
    assert large.trained.steps == parts.trained.steps == 1
    assert steps[0].loss == pytest.approx(steps[1].loss, rel=1e-5), "each token counts alike, whatever its batch"
    for name, tensor in trainable(large.model).items():
        assert torch.allclose(tensor, trainable(parts.model)[name], atol=1e-4), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_leaves_the_base_bit_for_bit(bench: Bench, tmp_path: Path, precision: Precision) -> None:
    import torch

    compute = Compute("cpu", "float32", precision)
    model = load_model(bench.source, compute)
    before = memory_digest(model)
    attached = attach(model, LoraShape(4, 8, 0.1, "all-linear", False), bench.source, 0)
    untrained = weights_digest(attached)
    grown = bench.train(tmp_path / "a", compute=compute, model=attached)
    batch = probe(bench.tokenizer, [item.prompt for item in bench.items], attached.device)
    check_adapter(attached, untrained, batch)
    intact = check_base(attached, bench.source, before, batch, compute, "none", grown.adapter)
    assert intact.holds
    assert intact.prompts == len(bench.items)
    assert intact.base_digest_after == bench.source.digest
    assert {tensor.dtype for tensor in trainable(attached).values()} == {torch.float32}
    assert attached(input_ids=batch).logits.dtype == torch.float32, "training precision stays in training"
    assert read_json(grown.adapter / "adapter_config.json")["base_model_name_or_path"] == "a-base"
    assert sorted(path.name for path in grown.adapter.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert bench.train(tmp_path / "b", compute=compute, dropout=0.1).digest == grown.digest


def refusing(model: Any, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """No memory for batches of this many tokens a row."""
    forward = model.forward

    def grown(**given: Any) -> Any:
        if given["input_ids"].shape[1] == width:
            raise MemoryError
        return forward(**given)

    monkeypatch.setattr(model, "forward", grown)


@pytest.mark.parametrize("kind", ["nll", "entropy", "mask-target"])
def test_what_does_not_fit_is_named_with_the_key_that_helps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    held = KlGuard([Encoded([1] * 77, [1] * 77)] * 6, 4, 1.0, "forward", 0)
    preflight(bench.adapter(), bench.rows, SETTINGS, 0, FLOAT32, held, TokenLoss(kind))
    model = bench.adapter()
    refusing(model, monkeypatch, 77)
    with pytest.raises(LongestBatchFailed, match=r"guard.kl holds \(4 rows of 77 tokens\) .*: set guard.kl.rows=2"):
        preflight(model, bench.rows, SETTINGS, 0, FLOAT32, held, TokenLoss(kind))
    assert all(parameter.grad is None for parameter in model.parameters())
    model = bench.adapter()
    refusing(model, monkeypatch, max(len(row.input_ids) for row in bench.rows))
    with pytest.raises(LongestBatchFailed, match=r"the longest batch \(4 rows of .*: set train.batch_size=2"):
        preflight(model, bench.rows, SETTINGS, 0, FLOAT32, held, TokenLoss(kind))
