"""What a recipe may ask of the machine: what goes together, what this machine has, and what accelerate is told."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import MissingComponent, RecipeError
from speciate.models.base import Compute, attention_of
from speciate.pipeline import hardware as checked
from speciate.recipe import LoadedRecipe, load_recipe
from speciate.recipe.hardware import Hardware
from speciate.storage import write_json
from speciate.train.accelerated import configuration
from speciate.train.sft import Sft

CUDA = Compute("cuda", "bfloat16", "bfloat16")
SETTINGS = Sft(
    epochs=1, batch_size=3, gradient_accumulation=2, optimizer="adamw", learning_rate=1e-4, warmup=0.0,
    schedule="constant", weight_decay=0.0, max_grad_norm=0.5, checkpoint_every=50, seed=0, processes=4,
)  # fmt: skip
RECIPE = """\
species: a
base: {model: b, quantization: nf4}
niche: {name: lean}
train:
  optimizer: adamw
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LoadedRecipe]:
    monkeypatch.chdir(tmp_path)

    def loaded(text: str, *overrides: str) -> LoadedRecipe:
        Path("r.yaml").write_text(text)
        return load_recipe("r.yaml", overrides)

    return loaded


@pytest.mark.parametrize(
    ("hardware", "override", "expected"),
    [
        ("sharding: fsdp", "", r"r\.yaml:7: hardware\.sharding: fsdp divides .*, and there is one: raise"),
        ("cpu_offload: true", "", r"r\.yaml:7: hardware\.cpu_offload: .*set hardware\.sharding=fsdp, or base\.quant"),
        (
            "packing: true",
            "",
            r"r\.yaml:7: hardware\.packing: needs .*=flash_attention_2.*like length",
        ),
        ("processes: 0", "", r"r\.yaml:7: hardware\.processes: must be greater than or equal to 1"),
        ("attention: flash", "", r"r\.yaml:7: hardware\.attention: must be 'auto', 'eager'"),
        ("{processes: 2, sharding: fsdp}", "", r"r\.yaml:6: hardware: fsdp divides a base of 16 or 32 bits only"),
        ("{processes: 2, sharding: fsdp}", "train.optimizer=muon", r"muon needs whole matrices"),
        ("{processes: 2, sharding: fsdp}", "guard.kl={rows: 2}", r"asking a divided base.*not supported: set sharding"),
        ("processes: 2", "stop={every: 5}", r"cannot be measured on their way: leave stop out"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_alternative(
    load: Callable[..., LoadedRecipe], hardware: str, override: str, expected: str
) -> None:
    text = RECIPE + (f"hardware: {hardware}\n" if hardware[0] == "{" else f"hardware:\n  {hardware}\n")
    changes = (override, "base.quantization=none") if override and "stop" not in override else (override,)
    with pytest.raises(RecipeError, match=expected):
        load(text, *filter(None, changes))


def test_several_processes_share_a_base_of_4_bits(load: Callable[..., LoadedRecipe]) -> None:
    assert load(RECIPE + "hardware: {processes: 2}\n").recipe.hardware.processes == 2


def test_what_this_machine_lacks_is_named_with_its_line(
    load: Callable[..., LoadedRecipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "hardware:\n  processes: 8\n  attention: flash_attention_2\n  packing: true\n"
    asked = load(RECIPE + wanted, "base.quantization=none")
    monkeypatch.setattr(checked, "count", {"cuda": 2}.get)
    monkeypatch.setattr(checked, "has_flash_attention", lambda: False)
    with pytest.raises(RecipeError) as found:
        checked.check_hardware(asked, CUDA)
    assert [problem.split(": ")[0] for problem in found.value.problems] == ["r.yaml:7", "r.yaml:8"]
    assert "there is 2 of cuda here" in found.value.problems[0]
    assert "set it to sdpa, and hardware.packing to false" in found.value.problems[1]
    divided = load(RECIPE + "hardware: {processes: 2, sharding: deepspeed}\n", "base.quantization=none")
    with pytest.raises(RecipeError, match="the device here is cpu: set it to none"):
        checked.check_hardware(divided, Compute("cpu", "float32", "float32"))
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    with pytest.raises(MissingComponent, match=r"deepspeed, which is not installed.*sharding=fsdp"):
        checked.check_hardware(divided, CUDA)
    checked.check_hardware(load(RECIPE + "hardware: {processes: 2}\n"), Compute("cpu", "float32", "float32"))


def test_attention_is_what_is_named_else_what_suits_the_device() -> None:
    assert attention_of("auto", CUDA) == "sdpa"
    assert attention_of("auto", Compute("cpu", "float32", "float32")) == "eager"
    assert attention_of("eager", CUDA) == "eager"


def environment_of(tmp_path: Path, hardware: Hardware) -> dict[str, str]:
    """The environment that accelerate would give to the processes, from the file that is written for it."""
    from accelerate.commands.launch import (
        _validate_launch_command,  # pyright: ignore[reportPrivateUsage]
        launch_command_parser,
    )
    from accelerate.utils.launch import prepare_multi_gpu_env

    write_json(tmp_path / "accelerate.yaml", configuration(hardware, CUDA, SETTINGS, ["Qwen3DecoderLayer"]))
    given = ["--config_file", str(tmp_path / "accelerate.yaml"), "--module", "speciate.train.worker", "folder", "other"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    assert arguments.num_processes == hardware.processes
    environment = dict(prepare_multi_gpu_env(arguments))
    assert arguments.nproc_per_node == str(hardware.processes)
    return environment


def test_accelerate_reads_the_file_of_plain_processes(tmp_path: Path) -> None:
    found = environment_of(tmp_path, Hardware(processes=4))
    assert found["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert "ACCELERATE_USE_FSDP" not in found


def test_accelerate_makes_fsdp2_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin

    asked = Hardware(processes=4, sharding="fsdp", cpu_offload=True, activation_checkpointing=True)
    for name, value in environment_of(tmp_path, asked).items():
        if name.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(name, value)
    plugin: Any = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.cpu_offload
    assert plugin.transformer_cls_names_to_wrap == ["Qwen3DecoderLayer"]
    assert "FULL_STATE_DICT" in str(plugin.state_dict_type), "a checkpoint holds the adapter as one process writes it"
    assert plugin.activation_checkpointing is False, "the trainer does it"
    assert plugin.cpu_ram_efficient_loading is False


def test_accelerate_knows_each_key_for_deepspeed(tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    asked = Hardware(processes=4, sharding="deepspeed", cpu_offload=True)
    content = configuration(asked, replace(CUDA, training="float16"), SETTINGS, [])
    write_json(tmp_path / "accelerate.yaml", content)
    found: Any = load_config_from_file(str(tmp_path / "accelerate.yaml"))
    assert found.mixed_precision == "fp16"
    known = vars(launch_command_parser().parse_args(["script"]))
    assert set(found.deepspeed_config) <= set(known)
    assert found.deepspeed_config["zero_stage"] == 3
    assert found.deepspeed_config["offload_param_device"] == "cpu"
    assert found.deepspeed_config["gradient_clipping"] == SETTINGS.max_grad_norm
