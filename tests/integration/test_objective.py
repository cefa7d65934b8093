"""Losses of single tokens in real training, and steps that are left out because they are not sound."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from growing import FLOAT32, SETTINGS, STEPS, Bench, bench_on

from speciate.errors import TrainingDiverged
from speciate.models.adapter import trainable
from speciate.models.attaching import attach
from speciate.models.base import load_model
from speciate.models.shape import LoraShape
from speciate.storage import read_json
from speciate.train import objective
from speciate.train.checkpoints import newest
from speciate.train.divergence import KlGuard
from speciate.train.encoding import IGNORED, Encoded
from speciate.train.logits import perplexities
from speciate.train.sft import Step
from speciate.train.token_losses import TokenLoss, among_others, entropy, nll

LOSSES = [
    TokenLoss(),
    TokenLoss("dft"),
    TokenLoss("entropy"),
    TokenLoss("selective", threshold=398.0),
    TokenLoss("mask-target", weight=5.0),
]


@pytest.fixture(scope="module")
def bench(random_llama: Path) -> Bench:
    return bench_on(random_llama)


def guard(bench: Bench, batch_size: int) -> KlGuard:
    return KlGuard([Encoded(row.input_ids, row.input_ids) for row in bench.dev], batch_size, 5.0, "forward", seed=0)


def by_hand(bench: Bench, model: Any) -> tuple[Any, Any]:
    """Logits and targets of all tokens that count, row by row, without padding."""
    logits: list[Any] = []
    targets: list[int] = []
    for row in bench.rows:
        counted = [place for place, label in enumerate(row.labels) if label != IGNORED]
        said = model(input_ids=torch.tensor([row.input_ids])).logits[0]
        logits.append(said[[place - 1 for place in counted]])
        targets += [row.labels[place] for place in counted]
    return torch.cat(logits), torch.tensor(targets)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_a_step_makes_the_mean_over_its_tokens_small(bench: Bench, tmp_path: Path, loss: TokenLoss) -> None:
    steps: list[Step] = []
    model = bench.adapter()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) / 3)
        logits, targets = by_hand(bench, model)
        with model.disable_adapter():
            base, _ = by_hand(bench, model)
        plain = nll(logits, targets)
        each = {
            "nll": plain,
            "dft": plain * (-plain).exp(),
            "entropy": entropy(logits, targets, 20),
            "selective": plain[(nll(base, targets).exp() <= loss.threshold) | (targets == 1)],
            "mask-target": plain + 5.0 * among_others(logits, base, targets),
        }[loss.kind]
    assert len(each) > 0
    assert (len(each) < len(plain)) == (loss.kind == "selective")
    bench.train(tmp_path, model=model, loss=loss, batch_size=24, epochs=1, on_step=steps.append)
    assert [step.loss for step in steps] == [pytest.approx(float(each.mean()), rel=1e-5)]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
def test_two_batches_of_eight_rows_are_one_of_sixteen(
    bench: Bench, tmp_path: Path, loss: TokenLoss, held: bool
) -> None:
    sixteen = replace(bench, rows=bench.rows[4:20], dev=[])
    kl = {rows: guard(bench, rows) if held else None for rows in (2, 4)}
    steps: list[Step] = []
    settings: dict[str, Any] = {"loss": loss, "epochs": 1, "on_step": steps.append}
    large = sixteen.train(tmp_path / "large", batch_size=16, kl=kl[4], **settings)
    parts = sixteen.train(tmp_path / "parts", batch_size=8, gradient_accumulation=2, kl=kl[2], **settings)
    assert large.trained.steps == parts.trained.steps == 1
    assert steps[0].loss == pytest.approx(steps[1].loss, rel=1e-5)
    for name, tensor in trainable(large.model).items():
        assert torch.allclose(tensor, trainable(parts.model)[name], atol=1e-4), name


@pytest.mark.parametrize("kind", ["nll", "dft", "selective"])
def test_what_is_scored_here_and_what_is_scored_by_trl_is_one_loss(
    bench: Bench, tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[float]] = []
    for limit in (objective.SCORED_AT_ONCE, 0):
        monkeypatch.setattr(objective, "SCORED_AT_ONCE", limit)
        steps: list[Step] = []
        bench.train(tmp_path / str(limit), loss=TokenLoss(kind), on_step=steps.append)
        found.append([step.loss for step in steps])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_stopped_at_any_step_it_ends_with_the_same_bytes(bench: Bench, tmp_path: Path, loss: TokenLoss) -> None:
    settings: dict[str, Any] = {"loss": loss, "kl": guard(bench, 2), "dropout": 0.1}
    undisturbed = bench.train(tmp_path / "whole", **settings)
    for step in sorted(Random(str(tmp_path)).sample(range(1, STEPS + 1), 2)):
        bench.stopped(tmp_path / "stopped", step, **settings)
    assert bench.train(tmp_path / "stopped", **settings).digest == undisturbed.digest


def test_perplexities_are_those_of_the_base_whatever_the_batch(bench: Bench) -> None:
    model = bench.adapter()
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter.add_(1.0)
    found = perplexities(model, bench.rows, 5, pad=0)
    assert model.training is bench.adapter().training
    with torch.no_grad():
        logits, targets = by_hand(bench, load_model(bench.source, FLOAT32))
    assert [one for row in found for one in row] == pytest.approx(nll(logits, targets).exp().tolist(), rel=1e-4)


def test_a_row_whose_every_token_counts_has_a_perplexity_for_each(bench: Bench) -> None:
    whole = [Encoded(row.input_ids, row.input_ids) for row in bench.rows[:3]]
    found = perplexities(bench.adapter(), whole, 2, pad=0)
    assert [len(one) for one in found] == [len(row.input_ids) for row in whole]


def poisoned(model: Any, poison: Callable[[Any], bool]) -> Any:
    """The model, whose hidden states are no numbers where `poison` says so of a batch."""

    def hook(_: Any, __: Any, given: dict[str, Any], output: Any) -> Any:
        if poison(given["input_ids"]):
            output.last_hidden_state = output.last_hidden_state * float("nan")
        return output

    model.get_base_model().model.register_forward_hook(hook, with_kwargs=True)
    return model


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_without_numbers_is_left_out_and_counted(bench: Bench, tmp_path: Path, optimizer: str) -> None:
    bad = [bench.rows[number].input_ids for number in (2, 18)]
    order = SETTINGS.order(bench.rows)
    batches = [place // SETTINGS.batch_size + 1 for place, row in enumerate(order) if row in (2, 18)]

    def holds_bad(ids: Any) -> bool:
        return any(row[: len(one)] == one for row in ids.tolist() for one in bad)

    def train(folder: Path, stop_at: int | None = None) -> Any:
        model = poisoned(bench.adapter(0.1), holds_bad)
        return bench.train(folder, model=model, stop_at=stop_at, optimizer=optimizer, weight_decay=0.1)

    grown = train(tmp_path / "whole")
    assert all(tensor.isfinite().all() for tensor in trainable(grown.model).values())
    log = [entry for entry in read_json(tmp_path / "whole" / "checkpoints" / "log.json") if "loss" in entry]
    assert len(log) == STEPS
    left_out = [entry for entry in log if "skipped_for" in entry]
    assert [entry["step"] for entry in left_out] == sorted(set(batches))
    assert [entry["skipped"] for entry in left_out] == list(range(1, len(left_out) + 1))
    assert all(entry["loss"] is None and entry["skipped_for"] == "the loss is nan" for entry in left_out)
    assert log[-1]["skipped"] == len(left_out) > 1
    for step in (left_out[0]["step"], left_out[-1]["step"]):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", stop_at=step)
    assert train(tmp_path / "stopped").digest == grown.digest


def test_a_step_left_out_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    model = poisoned(bench.adapter(), lambda _: True)
    before = {name: tensor.clone() for name, tensor in trainable(model).items()}
    few = replace(bench, dev=[])
    few.train(tmp_path, model=model, epochs=0.5, weight_decay=0.1)
    assert all(torch.equal(before[name], tensor) for name, tensor in trainable(model).items())


def test_five_in_a_row_end_the_training_and_name_rows_and_checkpoint(bench: Bench, tmp_path: Path) -> None:
    reached: list[int] = []
    model = poisoned(bench.adapter(), lambda _: len(reached) >= 7)
    with pytest.raises(TrainingDiverged) as ended:
        replace(bench, dev=[]).train(tmp_path, model=model, on_step=lambda step: reached.append(step.step))
    said = str(ended.value)
    assert "the loss is nan at step 12: lower train.learning_rate" in said
    checkpoint = newest(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert str(checkpoint) in said
    rows = said.split("The rows of step 12: ")[1].split(", ")
    assert 1 < len(rows) == len(set(rows)) <= 4
    assert all(name.split()[0] in {item.family for item in bench.items} for name in rows), rows


def test_an_infinite_gradient_is_left_out_though_cutting_makes_nothing_of_it(bench: Bench, tmp_path: Path) -> None:
    huge = LoraShape(4, 1e35, 0.0, "all-linear", rslora=False)
    model = attach(load_model(bench.source, FLOAT32), huge, bench.source, 0)
    with pytest.raises(TrainingDiverged, match=r"the gradient's length is inf at step 5: .* 5 steps in a row"):
        bench.train(tmp_path, model=model)
