"""Every kind of adapter and every beginning, trained by TRL's trainer: resumed to the same bytes, on an intact base."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from growing import FLOAT32, Bench, bench_on

from speciate.errors import AdapterUnchanged, PreflightError
from speciate.evals.intact import check_adapter, check_base, probe
from speciate.models.adapter import load_adapters, locate_adapter, save, switched_off, trainable, weights_digest
from speciate.models.attaching import attach
from speciate.models.base import Compute, load_model, memory_digest
from speciate.models.folding import lora_layers, settle
from speciate.models.population import BASE, Population
from speciate.models.shape import LoraShape
from speciate.recipe.lora import Init, Kind
from speciate.storage import digest_file

PLAIN = LoraShape(4, 8, 0.0, "all-linear", rslora=False, block_size=8, frequencies=40, init_rows=4)
HELD = ("pissa", "olora", "milora", "corda-kpm", "corda-ipm", "lora-ga", "lora-null")
KINDS = [replace(PLAIN, kind=kind) for kind in get_args(Kind) if kind != "lora"]
INITS = [replace(PLAIN, init=init) for init in get_args(Init)]
SHAPES = [
    *KINDS,
    *INITS,
    replace(PLAIN, init="pissa", rslora=True, dropout=0.1),
    replace(PLAIN, kind="dora", init="eva"),
    replace(PLAIN, init="lora-null", freeze_a=True),
]
SHORT: dict[str, Any] = {"epochs": 1, "checkpoint_every": 2}
STEPS = 6


def named(shape: Any) -> str:
    return f"{shape.kind}-{shape.init}{'-rslora' if shape.rslora else ''}{'-b' if shape.freeze_a else ''}"


@pytest.fixture(scope="module")
def bench(random_llama: Path) -> Bench:
    return replace(bench_on(random_llama), dev=[])


def fresh(bench: Bench, shape: LoraShape, compute: Compute = FLOAT32, quantization: str = "none", seed: int = 0) -> Any:
    """An adapter as a run attaches it, on a base loaded afresh."""
    base = load_model(bench.source, compute, quantization)
    return attach(base, shape, bench.source, seed, bench.rows[:12], bench.rows[12:])


def ended(bench: Bench, model: Any, folder: Path) -> str:
    """Settle and save as a run does; the digest of the weights."""
    settle(model)
    save(model, bench.source, folder)
    return digest_file(folder / "adapter_model.safetensors")


@pytest.mark.parametrize("shape", SHAPES, ids=named)
@pytest.mark.filterwarnings("ignore:.*CUDA extension:UserWarning", "ignore:Setting boft_n_butterfly:UserWarning")
def test_it_is_resumed_to_the_same_bytes_and_leaves_the_base_intact(
    bench: Bench, tmp_path: Path, shape: LoraShape
) -> None:
    import torch

    batch = probe(bench.tokenizer, [item.prompt for item in bench.items], torch.device("cpu"))
    model = fresh(bench, shape)
    with torch.inference_mode(), switched_off(model):
        plain = model(input_ids=batch).logits
    with torch.inference_mode():
        assert model.eval()(input_ids=batch).logits.sub(plain).abs().max() < 1e-5, "it begins as its base"
    before, untrained = memory_digest(load_model(bench.source, FLOAT32)), weights_digest(model)
    assert memory_digest(model) == before
    bench.train(tmp_path / "whole", model=model, **SHORT)
    with torch.inference_mode():
        trained = model(input_ids=batch).logits
    undisturbed = ended(bench, model, tmp_path / "adapter")
    check_adapter(model, untrained, batch)
    assert check_base(model, bench.source, before, batch, FLOAT32, "none", tmp_path / "adapter").holds
    with torch.inference_mode():
        assert model(input_ids=batch).logits.sub(trained).abs().max() < 1e-4, "settling changes nothing"

    with pytest.raises(KeyboardInterrupt):
        bench.train(tmp_path / "stopped", model=fresh(bench, shape), stop_at=5, **SHORT)
    resumed = fresh(bench, shape)
    grown = bench.train(tmp_path / "stopped", model=resumed, **SHORT)
    assert (grown.trained.resumed_from, grown.trained.steps) == (4, STEPS)
    assert ended(bench, resumed, tmp_path / "resumed") == undisturbed

    loaded = Population(
        load_adapters(load_model(bench.source, FLOAT32), {"a0": locate_adapter(tmp_path / "adapter")}),
        bench.tokenizer,
        {"x": "a0"},
    )
    assert loaded.mixes == (shape.kind == "lora"), "what ends as a plain LoRA is answered in mixed batches"
    with torch.inference_mode():
        with loaded.speaking([BASE] * len(batch)):
            assert loaded.model(input_ids=batch).logits.equal(plain)
        with loaded.speaking(["x"] * len(batch)):
            assert loaded.model(input_ids=batch).logits.sub(trained).abs().max() < 1e-4


@pytest.mark.parametrize("init", ["pissa", "oplora"])
def test_muon_trains_what_is_held_or_projected(bench: Bench, tmp_path: Path, init: str) -> None:
    model = fresh(bench, replace(PLAIN, init=init))
    assert {tensor.ndim for tensor in trainable(model).values()} == {2}
    bench.train(tmp_path, model=model, optimizer="muon", **SHORT)
    settle(model)
    assert memory_digest(model) == memory_digest(load_model(bench.source, FLOAT32))


@pytest.mark.parametrize("init", HELD)
def test_training_that_moves_nothing_is_told(bench: Bench, init: str) -> None:
    with pytest.raises(AdapterUnchanged, match="what it was before training"):
        settle(fresh(bench, replace(PLAIN, init=init)))


def test_a_plain_adapter_is_settled_as_it_is(bench: Bench) -> None:
    for shape in (PLAIN, replace(PLAIN, kind="dora"), replace(PLAIN, kind="hra"), replace(PLAIN, init="eva")):
        model = fresh(bench, shape)
        before = weights_digest(model)
        settle(model)
        assert weights_digest(model) == before


@pytest.mark.parametrize("compute", [FLOAT32, Compute("cpu", "bfloat16", "float32")], ids=["nf4", "bfloat16"])
@pytest.mark.parametrize("init", [*HELD, "oplora", "eva"])
def test_a_base_of_few_bits_stays_what_it_is(random_qwen3: Path, init: str, compute: Compute) -> None:
    import torch

    bench = bench_on(random_qwen3)
    quantization = "nf4" if compute is FLOAT32 else "none"
    before = memory_digest(load_model(bench.source, compute, quantization))
    model = fresh(bench, replace(PLAIN, init=init), compute, quantization).train()
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-2)
    ids = torch.tensor([bench.rows[0].input_ids])
    for _ in range(2):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        trained = model(input_ids=ids).logits.float()
        settle(model)
        assert model(input_ids=ids).logits.sub(trained).abs().max() < (0.1 if quantization == "none" else 1e-3)
    assert memory_digest(model) == before
    assert {tensor.dtype for tensor in trainable(model).values()} == {torch.float32}


def test_oplora_leaves_the_largest_directions_alone(bench: Bench, tmp_path: Path) -> None:
    import torch

    model = fresh(bench, replace(PLAIN, init="oplora", preserved=5))
    bench.train(tmp_path, model=model, **SHORT)
    settle(model)
    for name, layer in lora_layers(model).items():
        weight, change = layer.base_layer.weight, layer.get_delta_weight("default")
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        assert change.norm() > 1e-3, name
        assert (left[:, :5].T @ change).norm() < 1e-4 * change.norm(), name
        assert (change @ right[:5].T).norm() < 1e-4 * change.norm(), name
        assert torch.linalg.svdvals(weight + change).sub(values[0]).abs().min() < 1e-4, "the largest value is still one"


def test_the_strength_of_a_settled_adapter_is_a_factor_of_b(bench: Bench, tmp_path: Path) -> None:
    import torch
    from peft.helpers import rescale_adapter_scale

    model = fresh(bench, replace(PLAIN, init="milora"))
    bench.train(tmp_path, model=model, **SHORT)
    ids = torch.tensor([bench.rows[0].input_ids])
    with torch.inference_mode():
        with rescale_adapter_scale(model, 0.5):
            half = model(input_ids=ids).logits
        settle(model)
        for layer in lora_layers(model).values():
            layer.lora_B["default"].weight.mul_(0.5)
        assert model(input_ids=ids).logits.sub(half).abs().max() < 1e-4


@pytest.mark.parametrize("init", ["default", "corda-ipm", "lora-ga"])
def test_one_seed_begins_alike_and_another_one_otherwise(bench: Bench, init: str) -> None:
    shape = replace(PLAIN, init=init)
    first, again, other = (weights_digest(fresh(bench, shape, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"init": "pissa", "r": 17},
            r"train\.lora\.r: init pissa takes at most 16 with .*k_proj', whose weight is 16 x 32",
        ),
        ({"init": "lora-ga", "r": 9}, r"train\.lora\.r: init lora-ga takes at most 8"),
        ({"init": "oplora", "preserved": 16}, r"train\.lora\.preserved: init oplora takes at most 15"),
        ({"kind": "oft", "block_size": 5}, "kind: oft, .* does not fit the base: Invalid `oft_block_size`"),
        ({"kind": "boft", "block_size": 5}, "kind: boft, .* does not fit the base: "),
        ({"kind": "shira", "r": 30}, "kind: shira, .* does not fit the base: "),
    ],
)
@pytest.mark.filterwarnings("ignore:.*CUDA extension:UserWarning", "ignore:Setting boft_n_butterfly:UserWarning")
def test_what_the_base_has_no_room_for_is_refused(bench: Bench, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PreflightError, match=said):
        fresh(bench, replace(PLAIN, **changes))


def test_copies_of_weights_in_16_bits_are_refused(bench: Bench) -> None:
    with pytest.raises(PreflightError, match=r"in 16 bits small steps are lost: set base\.dtype=float32"):
        fresh(bench, replace(PLAIN, kind="full"), Compute("cpu", "bfloat16", "float32"))


@pytest.mark.parametrize(("init", "said"), [("corda-kpm", "general skills"), ("eva", "the niche")])
def test_rows_that_are_not_there_are_asked_for(bench: Bench, init: str, said: str) -> None:
    with pytest.raises(PreflightError, match=f"init {init} looks at rows, and there are none of {said}"):
        attach(load_model(bench.source, FLOAT32), replace(PLAIN, init=init), bench.source, 0)
