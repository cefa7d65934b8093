"""Adapters as PEFT makes them: those that can be measured beside their base are, the others are told apart in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import AdapterMismatch, InputError
from speciate.models.adapter import load_adapters, locate_adapter
from speciate.models.base import Compute, load_model, load_tokenizer, locate
from speciate.models.population import BASE, Population

LORA: dict[str, Any] = {"r": 2, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
SOFT: dict[str, Any] = {"num_virtual_tokens": 4, "task_type": "CAUSAL_LM"}
FF: dict[str, Any] = {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]}


def made(base: Path, folder: Path, kind: str, **settings: Any) -> tuple[Path, Any]:
    """A folder with an adapter of random weights, and what base and adapter say by themselves."""
    import peft
    import torch

    model: Any = load_model(locate("a-base", base), Compute("cpu", "float32", "float32"))
    torch.manual_seed(0)
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
        ("IA3Config", {"task_type": "CAUSAL_LM", **FF}, "of the kind IA3, and only LoRA.*Train a LoRA.*merge it into"),
        ("LoHaConfig", LORA, "of the kind LOHA, and only LoRA"),
        ("AdaLoraConfig", {**LORA, "total_step": 9}, "of the kind ADALORA, and only LoRA"),
        ("LNTuningConfig", {"task_type": "CAUSAL_LM", "target_modules": ["input_layernorm"]}, "the kind LN_TUNING"),
        ("PromptTuningConfig", SOFT, "of the kind PROMPT_TUNING: it puts learned vectors before every prompt"),
        ("PrefixTuningConfig", SOFT, "of the kind PREFIX_TUNING: it puts learned vectors"),
        ("LoraConfig", {**LORA, "bias": "all"}, "a LoRA with bias 'all': .*Train with bias 'none', or merge"),
        ("LoraConfig", {**LORA, "bias": "lora_only"}, "a LoRA with bias 'lora_only'"),
        ("LoraConfig", {**LORA, "bias": "all", "init_lora_weights": "pissa"}, "a LoRA with bias 'all'"),
        ("LoraConfig", {**LORA, "init_lora_weights": "pissa"}, "began with init_lora_weights 'pissa', and so rewrites"),
        ("LoraConfig", {**LORA, "init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', and so rewrites its base"),
        ("LoraConfig", {**LORA, "init_lora_weights": "olora"}, "'olora', and so rewrites its base when it is loaded"),
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
