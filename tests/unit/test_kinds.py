"""Adapters as PEFT makes them: those that can be measured beside their base are, the others are told apart in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import AdapterMismatch, InputError
from speciate.models.adapter import load_adapters, locate_adapter
from speciate.models.base import Compute, load_model, load_tokenizer, locate, memory_digest
from speciate.models.kinds import MEASURABLE
from speciate.models.population import BASE, Population

LORA: dict[str, Any] = {"r": 2, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
SOFT: dict[str, Any] = {"num_virtual_tokens": 4, "task_type": "CAUSAL_LM"}
PLACE: dict[str, Any] = {"target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
FF: dict[str, Any] = {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]}


def made(base: Path, folder: Path, kind: str, *, seed: int = 0, **settings: Any) -> tuple[Path, Any]:
    """A folder with an adapter of random weights, and what base and adapter say by themselves."""
    import peft
    import torch

    model: Any = load_model(locate("a-base", base), Compute("cpu", "float32", "float32"))
    torch.manual_seed(seed)
    adapter: Any = peft.get_peft_model(model, getattr(peft, kind)(**settings))
    with torch.no_grad():
        for parameter in adapter.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) / 10)
    adapter.eval().save_pretrained(folder)
    with torch.inference_mode():
        return folder, adapter(input_ids=torch.tensor([[5, 6, 7, 8]])).logits[:, -4:]


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (
            "RandLoraConfig",
            LORA,
            "of the kind RANDLORA, which is not known here to leave.*Train one of .*merge it into",
        ),
        ("PromptTuningConfig", SOFT, "of the kind PROMPT_TUNING: it puts learned vectors before every prompt"),
        ("PrefixTuningConfig", SOFT, "of the kind PREFIX_TUNING: it puts learned vectors"),
        ("LoraConfig", {**LORA, "bias": "all"}, "a LoRA with bias 'all': .*Train with bias 'none', or merge"),
        ("LoraConfig", {**LORA, "bias": "lora_only"}, "a LoRA with bias 'lora_only'"),
        ("LoraConfig", {**LORA, "bias": "all", "init_lora_weights": "pissa"}, "a LoRA with bias 'all'"),
        ("LoraConfig", {**LORA, "init_lora_weights": "pissa"}, "began with init_lora_weights 'pissa', and so rewrites"),
        ("LoraConfig", {**LORA, "init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', and so rewrites its base"),
        ("LoraConfig", {**LORA, "init_lora_weights": "olora"}, "'olora', and so rewrites its base when it is loaded"),
        ("OFTConfig", {**PLACE, "bias": "all"}, "of the kind OFT with bias 'all'"),
        ("LoraConfig", {**LORA, "trainable_token_indices": [3, 4]}, "with trainable_token_indices: it has embeddings"),
        ("LoraConfig", {**LORA, "layer_replication": [(0, 2), (1, 2)]}, "with layer_replication: it repeats layers"),
        ("LoraConfig", {**LORA, "alora_invocation_tokens": [5, 6]}, "with alora_invocation_tokens: it speaks only"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_stand_beside_its_base_is_told_apart(
    random_llama: Path, tmp_path: Path, kind: str, settings: dict[str, Any], said: str
) -> None:
    folder, _ = made(random_llama, tmp_path / "adapter", kind, **settings)
    with pytest.raises(AdapterMismatch, match=said) as caught:
        locate_adapter(folder)
    assert str(folder) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"use_rslora": True},
        {"lora_bias": True},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "orthogonal"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_what_can_is_heard_and_leaves_the_base_alone(
    random_llama: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    import torch

    folder, alone = made(random_llama, tmp_path / "adapter", "LoraConfig", **LORA, **settings)
    source = locate("a-base", random_llama)
    base: Any = load_model(source, Compute("cpu", "float32", "float32"))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        plain = base(input_ids=ids).logits
        population = Population(
            load_adapters(base, {"a0": locate_adapter(folder)}), load_tokenizer(source), {"x": "a0"}
        )
        with population.speaking([BASE]):
            assert torch.equal(population.model(input_ids=ids).logits, plain)
        with population.speaking(["x"]):
            said = population.model(input_ids=ids).logits
    assert said.sub(alone).abs().max() < 1e-4 < said.sub(plain).abs().max()


MEASURED: dict[str, dict[str, Any]] = {
    "LoraConfig": {**LORA, "use_dora": True},
    "OFTConfig": {**PLACE, "oft_block_size": 8},
    "BOFTConfig": {**PLACE, "boft_block_size": 8},
    "HRAConfig": {**PLACE, "r": 4},
    "VeraConfig": {**PLACE, "r": 8},
    "LoHaConfig": {**LORA, "alpha": 4},
    "LoKrConfig": {**LORA, "alpha": 4},
    "AdaLoraConfig": {**PLACE, "init_r": 4, "total_step": 9},
    "ShiraConfig": {**PLACE, "r": 2, "random_seed": 3},
    "OSFConfig": PLACE,
    "FourierFTConfig": {**PLACE, "n_frequency": 20},
    "IA3Config": {"task_type": "CAUSAL_LM", **FF},
    "MissConfig": LORA,
    "LNTuningConfig": {"task_type": "CAUSAL_LM", "target_modules": ["input_layernorm"]},
}


@pytest.mark.parametrize("kind", MEASURED)
@pytest.mark.filterwarnings("ignore")
def test_two_of_a_kind_are_measured_on_one_base_which_stays_what_it_is(
    random_llama: Path, tmp_path: Path, kind: str
) -> None:
    import torch

    made_of = {
        name: made(random_llama, tmp_path / name, kind, seed=seed, **MEASURED[kind])
        for seed, name in enumerate(("ants", "bees"))
    }
    source = locate("a-base", random_llama)
    base: Any = load_model(source, Compute("cpu", "float32", "float32"))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        plain = base(input_ids=ids).logits
        before = memory_digest(base)
        sources = {name: locate_adapter(folder) for name, (folder, _) in made_of.items()}
        population = Population(load_adapters(base, sources), load_tokenizer(source), {name: name for name in made_of})
        assert not population.mixes
        assert population.batches(["bees", BASE, "bees"], [3, 3, 3], 9) == [[1], [0, 2]]
        assert memory_digest(population.model) == before
        for member in (BASE, "ants", BASE, "bees", "ants", BASE):
            with population.speaking([member]):
                said = population.model(input_ids=ids).logits
            if member == BASE:
                assert torch.equal(said, plain)
            else:
                assert said.sub(made_of[member][1]).abs().max() < 1e-4 < said.sub(plain).abs().max(), member
        assert memory_digest(population.model) == before


def test_every_kind_that_is_measured_is_tried_here() -> None:
    import peft

    tried = {str(getattr(peft, kind)(**settings).peft_type.value) for kind, settings in MEASURED.items()}
    assert tried == MEASURABLE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", [(0, 999_999), (999_999, 0), (-1, 0)], ids=str)
def test_a_change_outside_of_the_matrix_is_refused_before_it_is_made(
    random_llama: Path, tmp_path: Path, place: tuple[int, int]
) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = made(random_llama, tmp_path / "adapter", "ShiraConfig", **MEASURED["ShiraConfig"])
    tensors = load_file(folder / "adapter_model.safetensors")
    name = next(name for name in tensors if "shira_indices" in name)
    tensors[name][0, 3], tensors[name][1, 3] = place
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    model = load_model(locate("a-base", random_llama), Compute("cpu", "float32", "float32"))
    with pytest.raises(AdapterMismatch, match=r"is damaged: it changes entries of .* that lie outside of its weight"):
        load_adapters(model, {"a0": locate_adapter(folder)})


@pytest.mark.filterwarnings("ignore")
def test_adapters_of_two_kinds_are_not_put_on_one_base(random_llama: Path, tmp_path: Path) -> None:
    folders = [made(random_llama, tmp_path / kind, kind, **MEASURED[kind])[0] for kind in ("LoraConfig", "HRAConfig")]
    model = load_model(locate("a-base", random_llama), Compute("cpu", "float32", "float32"))
    with pytest.raises(AdapterMismatch, match=r"different kinds .*LORA, .*HRA\. Evaluate those .*`speciate compare`"):
        load_adapters(model, {str(number): locate_adapter(folder) for number, folder in enumerate(folders)})


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_is_measured_while_it_trains_goes_on_training(random_llama: Path) -> None:
    import peft

    source = locate("a-base", random_llama)
    model: Any = load_model(source, Compute("cpu", "float32", "float32"))
    adapter: Any = peft.get_peft_model(model, peft.LoraConfig(**LORA, use_dora=True))
    before = {name for name, parameter in adapter.named_parameters() if parameter.requires_grad}
    population = Population(adapter, load_tokenizer(source), {"x": "default"})
    for member in (BASE, "x", BASE):
        with population.speaking([member]):
            pass
    assert before
    assert {name for name, parameter in adapter.named_parameters() if parameter.requires_grad} == before


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '"LORA"', '{"r": 4}', '{"peft_type": "LORA", "r": NaN}', '{"peft_type": "LORA", "r": 1e999}',
     '{"peft_type": "LORA", "x": "\\ud800"}', '{"peft_type": "LORA", "r": ' + "9" * 5_000 + "}",
     '{"peft_type": "LORA", "target_modules": ["a", 1, null]}', '{"peft_type": "LORA", "r": 1' + "0" * 400 + "}",
     '{"peft_type": "LORA", "r": "four"}', '{"peft_type": "LORA", "r": -1}', '{"peft_type": "LORA", "mine": {}}'],
)  # fmt: skip
def test_a_damaged_configuration_is_named(random_llama: Path, tmp_path: Path, text: str) -> None:
    folder, _ = made(random_llama, tmp_path / "adapter", "LoraConfig", **LORA)
    (folder / "adapter_config.json").write_text(text)
    model = load_model(locate("a-base", random_llama), Compute("cpu", "float32", "float32"))
    with pytest.raises(InputError, match=r"adapter_config\.json|in '.*adapter'"):
        load_adapters(model, {"a0": locate_adapter(folder)})


def test_the_configuration_of_a_plain_lora_is_as_peft_writes_it(random_llama: Path, tmp_path: Path) -> None:
    folder, _ = made(random_llama, tmp_path / "adapter", "LoraConfig", **LORA)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["peft_type"], config["bias"], config["init_lora_weights"]) == ("LORA", "none", True)
