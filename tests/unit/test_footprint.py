"""The memory of a training by arithmetic: what it grows with, what is said before the start, and where it runs out."""

from dataclasses import replace
from pathlib import Path

import pytest

from speciate import hardware
from speciate.errors import TrainingOutOfMemory, WorkerFailed
from speciate.models import device
from speciate.models.base import Compute, locate
from speciate.models.shape import LoraShape
from speciate.models.skeleton import Sizes, sizes
from speciate.recipe.hardware import Hardware
from speciate.train import memory
from speciate.train.checkpoints import mark
from speciate.train.footprint import Footprint, Work, footprint
from speciate.train.memory import Room, memory_must_hold, ran_out
from speciate.train.sft import Sft

SETTINGS = Sft(
    epochs=1, batch_size=8, gradient_accumulation=4, optimizer="adamw", learning_rate=1e-4, warmup=0.0,
    schedule="constant", weight_decay=0.0, max_grad_norm=1.0, checkpoint_every=50, seed=0,
)  # fmt: skip
QWEN3_4B = Sizes(
    parameters=4_022_468_096, in_blocks=3_633_315_840, layers=36, hidden=2560, intermediate=9728, heads=32, kv_heads=8,
    head_width=128, vocabulary=151_936, trainable=66_060_288, adapted=252,
)  # fmt: skip
WORK = Work(QWEN3_4B, SETTINGS, Compute("cuda", "bfloat16", "bfloat16"), Hardware(), "none", 32, 512)


def found(**changes: object) -> Footprint:
    """The footprint of the 4B model with something changed."""
    made = footprint(replace(WORK, **changes))  # pyright: ignore[reportArgumentType]
    assert made is not None
    return made


def test_sizes_are_those_of_the_model_and_of_the_adapter_that_would_be_attached(random_qwen3: Path) -> None:
    from speciate.models.attaching import attach
    from speciate.models.base import load_model

    source = locate("a-base", random_qwen3)
    for kind in ("lora", "dora", "oft", "hra", "vera", "loha", "lokr", "shira", "osf", "fourierft"):
        shape = LoraShape(4, 8, 0.0, "all-linear", False, kind=kind)
        model = load_model(source, Compute("cpu", "float32", "float32"))
        base = sizes(source, shape)
        assert base.parameters == sum(parameter.numel() for parameter in model.parameters())
        assert (base.layers, base.hidden, base.heads, base.kv_heads, base.head_width) == (2, 64, 4, 2, 16)
        attached = attach(model, shape, source, 0)
        assert base.trainable == sum(one.numel() for one in attached.parameters() if one.requires_grad), kind
        assert base.adapted == 14


def test_parts_follow_from_what_is_asked() -> None:
    plain = found()
    assert plain.weights == 2 * QWEN3_4B.parameters
    assert plain.adapter == plain.gradients == plain.optimizer // 2 == 4 * 66_060_288
    assert found(quantization="nf4").weights < 0.36 * plain.weights
    assert found(settings=replace(SETTINGS, optimizer="muon")).optimizer == plain.adapter
    again = found(settings=replace(SETTINGS, activation_checkpointing=True))
    assert again.activations < plain.activations / 10
    assert again.weights == plain.weights
    assert found(longest=1024).activations == pytest.approx(2 * plain.activations, rel=0.01)
    assert found(settings=replace(SETTINGS, batch_size=4)).step == pytest.approx(plain.step / 2, rel=0.01)
    assert found(held=4).logits - plain.logits > 4 * 512 * QWEN3_4B.vocabulary * 16
    assert found(compute=Compute("cuda", "float32", "bfloat16")).activations > plain.activations + 7e9, "casts are kept"
    assert found(hardware=Hardware(attention="eager")).activations > plain.activations
    assert footprint(replace(WORK, base=replace(QWEN3_4B, trainable=None))) is None


def test_what_is_divided_is_divided() -> None:
    plain, four = found(), replace(SETTINGS, processes=4)
    copies = found(settings=four, hardware=Hardware(processes=4))
    assert (copies.weights, copies.optimizer) == (plain.weights, plain.optimizer)
    assert copies.gradients == 2 * plain.gradients, "what is sent is a copy"
    divided = found(settings=four, hardware=Hardware(processes=4, sharding="fsdp"))
    assert plain.weights / 4 < divided.weights < plain.weights / 3
    assert divided.optimizer == plain.optimizer / 4
    offloaded = found(settings=four, hardware=Hardware(processes=4, sharding="fsdp", cpu_offload=True))
    assert offloaded.weights < plain.weights / 10
    assert offloaded.trained == 0


def test_a_warning_names_estimate_room_and_the_keys_that_save_most() -> None:
    assert Room(WORK, 80 * 2**30).warning is None
    assert Room(WORK, None).warning is None
    said = Room(WORK, 24 * 2**30).warning
    assert said is not None
    assert "24.0 GiB are there" in said
    keys = [
        "hardware.activation_checkpointing=true",
        "train.batch_size=4 with train.gradient_accumulation=8",
        "base.quantization=nf4",
        "train.lora.r=16",
    ]
    places = [said.index(key) for key in keys]
    assert places == sorted(places), "activations are most of it, then weights"
    small = replace(WORK, settings=replace(SETTINGS, activation_checkpointing=True, batch_size=1))
    assert "set base.quantization=nf4, or train.lora.r=16" in str(Room(small, 2**30).warning)
    several = replace(small, hardware=Hardware(processes=4))
    assert "hardware.sharding=fsdp" in str(Room(several, 2**30).warning)


def test_memory_that_runs_out_is_named_and_the_last_checkpoint_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "peak_memory", {"cuda": 23 * 2**30}.get)
    room = Room(WORK, 24 * 2**30)
    with (
        pytest.raises(
            TrainingOutOfMemory, match=r"23\.0 GiB were reached, 24\.0 GiB were there.*no checkpoint yet"
        ) as e,
        memory_must_hold(room, tmp_path),
    ):
        raise MemoryError
    assert isinstance(e.value, MemoryError)
    assert "were expected" in str(e.value)
    (tmp_path / "checkpoint-50").mkdir()
    (tmp_path / "checkpoint-50" / "adapter_model.safetensors").write_bytes(b"weights")
    mark(tmp_path / "checkpoint-50")
    with (
        pytest.raises(TrainingOutOfMemory, match=r"checkpoint-50'; --resume goes on"),
        memory_must_hold(room, tmp_path),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    assert (tmp_path / "checkpoint-50" / "adapter_model.safetensors").exists()
    for other in (RuntimeError("shapes do not match"), WorkerFailed("training process 1 failed")):
        with pytest.raises(type(other), match=str(other)), memory_must_hold(room, tmp_path):
            raise other


def test_every_way_of_saying_it_is_known() -> None:
    import torch

    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert ran_out(RuntimeError("CUDA error: out of memory"))
    assert not ran_out(KeyError("memory"))


def test_free_memory_is_bound_by_machine_and_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    assert hardware._bound(tmp_path) == 1_000_000  # pyright: ignore[reportPrivateUsage]
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware._bound(tmp_path) is None  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(hardware, "_bound", lambda: 1_000_000)
    assert device.free_memory("cpu") == 1_000_000
    monkeypatch.setattr(hardware, "_bound", lambda: None)
    free, there = hardware.free_memory(), hardware.memory()
    assert free is not None
    assert there is not None
    assert 0 < free <= there * 1.2
