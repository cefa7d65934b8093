"""The proof that a base is intact, and that it fails for each way in which one is not."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import AdapterInert, AdapterUnchanged, BaseAltered
from speciate.evals.intact import check_adapter, check_base, logits, probe
from speciate.models.adapter import save, weights_digest
from speciate.models.attaching import attach
from speciate.models.base import BaseSource, Compute, load_model, load_tokenizer, locate, memory_digest
from speciate.models.shape import LoraShape
from speciate.records import Intact

FLOAT32 = Compute("cpu", "float32", "float32")
PROMPTS = ("What is 2 + 3?", "Sort: 3 1", "Reverse: a b c")


@dataclass
class Species:
    """A base with an adapter that changes what it says, saved to disk."""

    source: BaseSource
    model: Any
    memory_before: str
    untrained: str
    batch: Any
    adapter: Path

    def check(self, quantization: str = "none") -> Intact:
        return check_base(self.model, self.source, self.memory_before, self.batch, FLOAT32, quantization, self.adapter)


def grown(folder: Path, out: Path, quantization: str = "none", init: str | None = None) -> Species:
    """A species on the base in `folder`; its adapter is set by hand. `init` names another start of PEFT's."""
    import torch
    from peft import LoraConfig, get_peft_model

    source = locate("a-base", folder)
    base = load_model(source, FLOAT32, quantization)
    before = memory_digest(base)
    if init is None:
        model: Any = attach(base, LoraShape(4, 8, 0.0, "all-linear", False), source, 0)
    else:
        settings: dict[str, Any] = {"r": 4, "target_modules": "all-linear", "init_lora_weights": init}
        model = get_peft_model(base, LoraConfig(**settings, task_type="CAUSAL_LM"))
    untrained = weights_digest(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.1)
    save(model, source, out)
    tokenizer = load_tokenizer(source)
    return Species(source, model.eval(), before, untrained, probe(tokenizer, PROMPTS, model.device), out)


@pytest.fixture
def species(random_llama: Path, tmp_path: Path) -> Species:
    return grown(Path(shutil.copytree(random_llama, tmp_path / "base")), tmp_path / "adapter")


def test_an_intact_base_is_proved_so(species: Species) -> None:
    check_adapter(species.model, species.untrained, species.batch)
    found = species.check()
    assert found.holds
    assert found.prompts == len(PROMPTS)


def test_a_quantized_base_is_proved_intact_too(random_qwen3: Path, tmp_path: Path) -> None:
    assert grown(random_qwen3, tmp_path, "nf4").check("nf4").holds


def test_a_weight_that_moved_by_one_ulp_in_memory_is_found(species: Species) -> None:
    import torch

    weight = species.model.get_submodule("base_model.model.model.layers.1.mlp.down_proj.base_layer").weight
    with torch.no_grad():
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(1.0))
    with pytest.raises(BaseAltered, match="'a-base' is not what it was before training: its weights in memory"):
        species.check()


def test_a_byte_that_changed_on_disk_is_found(species: Species) -> None:
    weights = species.source.folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0x40
    # A new file by the old name: the loaded base is a map of the old one, and would change with it.
    weights.unlink()
    weights.write_bytes(content)
    with pytest.raises(BaseAltered, match=r"its files in '.*base', its answers with the adapter off differ"):
        species.check()


def test_a_start_that_rewrites_the_base_is_found(random_llama: Path, tmp_path: Path) -> None:
    species = grown(random_llama, tmp_path, init="pissa")
    with pytest.raises(BaseAltered, match="its weights in memory, its answers with the adapter off differ"):
        species.check()


def test_an_adapter_that_was_saved_empty_is_found(species: Species) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    path = species.adapter / "adapter_model.safetensors"
    save_file({name: torch.zeros_like(tensor) for name, tensor in load_file(path).items()}, path)
    with pytest.raises(AdapterInert, match="does not say what the trained one says"):
        species.check()


def test_an_adapter_that_did_not_change_is_found(species: Species) -> None:
    with pytest.raises(AdapterUnchanged, match="nothing was learned"):
        check_adapter(species.model, weights_digest(species.model), species.batch)


def test_an_adapter_that_changes_no_answer_is_found(species: Species) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in species.model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
            elif "lora_A" in name:
                parameter.add_(1.0)
    with pytest.raises(AdapterInert, match="changes no output of the base on 3 prompts"):
        check_adapter(species.model, species.untrained, species.batch)


def test_the_adapter_is_on_again_after_the_proof(species: Species) -> None:
    import torch

    before = logits(species.model, species.batch)
    species.check()
    assert torch.equal(logits(species.model, species.batch), before)
