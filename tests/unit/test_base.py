"""Bases found, refused, loaded and fingerprinted; adapters attached to them. All models are small, random and real."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from speaking import answer, losses

from speciate.errors import BaseNotFound, InputError, NothingTrainable, PreflightError
from speciate.models.adapter import trainable, weights_digest
from speciate.models.attaching import attach
from speciate.models.base import (
    BaseSource,
    Compute,
    context_length,
    digest_folder,
    find_compute,
    load_model,
    load_tokenizer,
    locate,
    memory_digest,
)
from speciate.models.shape import LoraShape

if TYPE_CHECKING:
    import torch

FLOAT32 = Compute("cpu", "float32", "float32")
BFLOAT16 = Compute("cpu", "bfloat16", "bfloat16")
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(random_llama: Path, tmp_path: Path) -> Path:
    """A model folder that a test may damage."""
    return Path(shutil.copytree(random_llama, tmp_path / "base"))


def found(folder: Path) -> BaseSource:
    return locate("a-base", folder)


def shape(targets: str | list[str] = "all-linear") -> LoraShape:
    return LoraShape(r=4, alpha=8, dropout=0.0, targets=targets, rslora=False)


def rewrite(folder: Path, **changes: "torch.Tensor | None") -> None:
    """Replace tensors of the weights, or take them out."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / WEIGHTS)
    for name, tensor in changes.items():
        del tensors[name]
        if tensor is not None:
            tensors[name] = tensor
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def test_a_name_that_is_no_folder_says_what_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bases" / "small").mkdir(parents=True)
    (tmp_path / "bases" / "note").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        BaseNotFound, match=r"base './bases/smal': there is no such folder\. .*'bases/small'\?"
    ) as caught:
        locate("./bases/smal", None)
    assert caught.value.exit_code == 2
    with pytest.raises(BaseNotFound, match="hub name such as"):
        locate("./nothing", None)
    with pytest.raises(BaseNotFound, match="neither a folder nor a hub name"):
        locate("two words", None)
    with pytest.raises(BaseNotFound, match=r"note' is a file; give a folder"):
        locate("bases/note", Path("bases/note"))


def test_a_hub_name_without_a_hub_is_said_so() -> None:
    with pytest.raises(BaseNotFound, match=r"'someone/model': no such folder, and the model hub cannot be reached"):
        locate("someone/model", None)
    with pytest.raises(BaseNotFound, match="cannot be reached"):
        locate("someone/model", None, "main")


def test_a_folder_has_no_revision(folder: Path) -> None:
    with pytest.raises(InputError, match=r"base\.revision='main' is for models of the hub"):
        locate("a-base", folder, "main")


@pytest.mark.parametrize("missing", ["config.json", "tokenizer_config.json", "tokenizer.json", WEIGHTS])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(
        BaseNotFound, match="no safetensors weights; give" if missing == WEIGHTS else f"has no {missing}"
    ):
        found(folder)


def test_pickled_weights_are_refused_by_name(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(BaseNotFound, match=r"only pytorch_model\.bin, which is not opened: convert it to safetensors"):
        found(folder)


@pytest.mark.parametrize("kept", [5, 200, -1])
def test_truncated_weights_are_no_base(folder: Path, kept: int) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:kept])
    with pytest.raises(BaseNotFound, match=r"'a-base': its model cannot be loaded from .*header"):
        load_model(found(folder), FLOAT32)


def test_a_lost_shard_is_no_base(random_qwen3: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(random_qwen3, tmp_path / "base"))
    shards = sorted(copy.glob("*.safetensors"))
    assert len(shards) > 1
    shards[-1].unlink()
    with pytest.raises(BaseNotFound, match="its model cannot be loaded"):
        load_model(found(copy), FLOAT32)


def test_weights_that_lack_a_tensor_are_not_filled_with_random_ones(folder: Path) -> None:
    rewrite(folder, **{"model.layers.1.mlp.up_proj.weight": None})
    with pytest.raises(
        BaseNotFound, match=r"lack 1 tensors of the model, first 'model\.layers\.1\.mlp\.up_proj\.weight'"
    ):
        load_model(found(folder), FLOAT32)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    import torch

    rewrite(folder, **{"model.layers.1.mlp.up_proj.weight": torch.zeros(3, 3)})
    with pytest.raises(BaseNotFound, match="its model cannot be loaded"):
        load_model(found(folder), FLOAT32)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_configuration_is_named(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    source = found(folder)
    with pytest.raises(BaseNotFound, match=r"its config\.json cannot be loaded"):
        context_length(source)
    with pytest.raises(BaseNotFound, match="its tokenizer cannot be loaded"):
        load_tokenizer(source)
    with pytest.raises(BaseNotFound, match="its model cannot be loaded"):
        load_model(source, FLOAT32)


def test_a_damaged_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": 1')
    with pytest.raises(BaseNotFound, match="its tokenizer cannot be loaded"):
        load_tokenizer(found(folder))


def test_a_base_without_a_chat_template_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        load_tokenizer(found(folder))


def test_a_base_without_an_end_token_is_refused(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["eos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="no end token"):
        load_tokenizer(found(folder))


def test_one_bit_of_the_weights_is_another_base_and_a_note_is_not(folder: Path) -> None:
    before = digest_folder(folder)
    for name in ("README.md", "card.json", ".lock"):
        (folder / name).write_text("a note")
    assert digest_folder(folder) == before
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    assert digest_folder(folder) != before
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    assert digest_folder(folder) == before
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert digest_folder(folder) != before


@pytest.mark.parametrize("compute", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("model_folder", ["random_llama", "random_qwen3"])
def test_a_base_loads_frozen_the_same_each_time(
    model_folder: str, compute: Compute, request: pytest.FixtureRequest
) -> None:
    source = found(request.getfixturevalue(model_folder))
    tokenizer = load_tokenizer(source)
    model = load_model(source, compute)
    assert str(model.dtype) == f"torch.{compute.weights}"
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert context_length(source) == 256
    assert memory_digest(load_model(source, compute)) == memory_digest(model)
    assert [found.tokens for found in answer(model, tokenizer, ["Sort: 3 1"], max_new_tokens=3, batch_size=1)] == [3]
    ((nats, tokens),) = losses(model, tokenizer, ["Ada went to the barn."], batch_size=1)
    assert nats / tokens == pytest.approx(6.0, abs=0.5), "a random model is near log(400)"


def test_the_digest_of_memory_sees_one_bit_anywhere(random_qwen3: Path) -> None:
    import torch

    model = load_model(found(random_qwen3), FLOAT32)
    before = memory_digest(model)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            first = tensor.flatten()[:1].clone()
            tensor.view(-1)[0] = torch.nextafter(first, first + 1)[0]
            assert memory_digest(model) != before
            tensor.view(-1)[0] = first[0]
    assert memory_digest(model) == before


def test_an_adapter_is_no_part_of_the_digest(random_llama: Path) -> None:
    source = found(random_llama)
    model = load_model(source, FLOAT32)
    before = memory_digest(model)
    attached = attach(model, shape(), source, seed=0)
    assert memory_digest(attached) == before
    again = attach(load_model(source, FLOAT32), shape(), source, seed=0)
    other = attach(load_model(source, FLOAT32), shape(), source, seed=1)
    assert weights_digest(again) == weights_digest(attached) != weights_digest(other)


def test_nf4_on_a_cpu_answers_trains_and_stays_what_it_was(random_qwen3: Path) -> None:
    import torch

    source = found(random_qwen3)
    tokenizer = load_tokenizer(source)
    model = load_model(source, FLOAT32, "nf4")
    assert model.get_submodule("model.layers.0.mlp.up_proj").weight.dtype == torch.uint8
    before = memory_digest(model)
    assert memory_digest(load_model(source, FLOAT32, "nf4")) == before
    prompts = ["Sort: 3 1", "What is 2 + 3?"]
    asked = answer(model, tokenizer, prompts, max_new_tokens=4, batch_size=2)
    assert memory_digest(model) == before, "an answer may not pack the weights anew"
    attached = attach(model, shape(), source, seed=0).train()
    adapter = trainable(attached)
    untrained = weights_digest(attached)
    ids = torch.tensor([[5, 6, 7, 8]])
    attached(input_ids=ids, labels=ids).loss.backward()
    without = [name for name, tensor in adapter.items() if "lora_B" in name and not tensor.grad.abs().sum()]
    assert not without, "the gradient reaches every layer"
    torch.optim.AdamW(adapter.values(), lr=0.1).step()
    assert weights_digest(attached) != untrained
    assert memory_digest(attached) == before
    with attached.eval().disable_adapter():
        assert answer(attached, tokenizer, prompts, max_new_tokens=4, batch_size=2) == asked


def test_targets_that_are_not_there_are_named(random_llama: Path) -> None:
    source = found(random_llama)
    model = load_model(source, FLOAT32)
    with pytest.raises(NothingTrainable, match=r"no linear module 'q_prj'; did you mean 'q_proj'\?"):
        attach(model, shape(["v_proj", "q_prj"]), source, seed=0)
    with pytest.raises(NothingTrainable, match=r"'embed_tokens' .*it has down_proj, gate_proj, .*v_proj\)"):
        attach(model, shape(["embed_tokens"]), source, seed=0)
    attached = attach(model, shape(["v_proj", "layers.0.mlp.up_proj"]), source, seed=0)
    assert {name.split(".layers.")[1].split(".lora_")[0] for name in trainable(attached)} == {
        "0.self_attn.v_proj", "1.self_attn.v_proj", "0.mlp.up_proj",
    }  # fmt: skip


@pytest.mark.parametrize("model_folder", ["random_llama", "random_qwen3"])
def test_the_output_layer_cannot_be_a_target(model_folder: str, request: pytest.FixtureRequest) -> None:
    source = found(request.getfixturevalue(model_folder))
    with pytest.raises(PreflightError, match=r"'lm_head' is the base's output layer, which cannot be adapted"):
        attach(load_model(source, FLOAT32), shape(["q_proj", "lm_head"]), source, seed=0)


def test_a_precision_that_the_device_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for accelerator in ("torch.cuda.is_available", "torch.backends.mps.is_available"):
        monkeypatch.setattr(accelerator, Mock(return_value=False))
    compute = find_compute()
    assert compute.weights == "float32"
    assert find_compute("bfloat16", "float32") == Compute("cpu", "bfloat16", "float32")
    for asked in (("float16", "auto"), ("auto", "float16")):
        with pytest.raises(InputError, match="float16 is not for the CPU"):
            find_compute(*asked)
    with pytest.raises(InputError, match="'fp8' is not a precision"):
        find_compute("fp8")
