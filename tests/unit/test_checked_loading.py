"""Loading believes nothing: another base, tensors that do not fit and adapters that do nothing are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from adapters import NAME, PROMPT, changed, configured, logits_with, saved
from populations import TINY

from speciate.cli.program import run
from speciate.errors import AdapterMismatch, InputError, NotFound
from speciate.models.adapter import WEIGHTS
from speciate.models.base import digest_folder
from speciate.pipeline import load_checked
from speciate.pipeline.checked_loading import try_adapters
from speciate.pipeline.importing import Told, import_adapter
from speciate.progress import Quiet
from speciate.registry import store

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def in_a_home(home: Path) -> Path:
    return home


def registered(folder: Path, species: str = "prover", base: str | None = None) -> Path:
    return import_adapter(str(folder), Told(species, base), Quiet()).entry


def unbased(folder: Path, species: str = "prover") -> Path:
    """An entry whose base was not here when it was made, and so was never loaded."""
    return registered(configured(folder, base_model_name_or_path="not/here"), species)


def base_changed(folder: Path, change: Any = None, **config: Any) -> Path:
    """A copy of the tiny base with other weights or another configuration."""
    shutil.copytree(TINY, folder)
    if config:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
    if change:
        from safetensors.torch import load_file, save_file

        save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


def test_what_loads_says_what_peft_says(tmp_path: Path) -> None:
    import torch

    folder = saved(tmp_path / "a")
    entry = registered(folder)
    for reference in ("prover", "prover@1", str(entry)):
        model, card = load_checked(reference)
        assert card == store.find("prover")[1]
        assert not any(parameter.requires_grad for parameter in model.parameters())
        with torch.inference_mode():
            found = model(input_ids=torch.tensor([PROMPT])).logits[0].double()
        assert torch.equal(found, logits_with(folder))


def test_several_are_tried_on_one_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registered(saved(tmp_path / "a"))
    registered(saved(tmp_path / "b", seed=1, r=2, use_dora=True), "dora")
    unbased(saved(tmp_path / "c", seed=2), "stranger")
    assert run(["registry", "try", "prover", "dora", "stranger", "--base", NAME, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "registry-try/1"
    assert said["base"] == {"name": NAME, "digest": digest_folder(TINY)}
    assert [one["name"] for one in said["adapters"]] == ["prover", "dora", "stranger"]
    assert all(one["largest_change"] > 0.01 for one in said["adapters"])
    assert len(said["notes"]) == 1
    assert "'stranger' has a card that does not know its base's digest" in said["notes"][0]
    assert run(["registry", "try", "prover"]) == 0
    assert "prover fits data/base/tiny: it changes logits by up to" in capsys.readouterr().out


# --- another base ---


def test_other_weights_of_the_same_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registered(saved(tmp_path / "a"))

    def one_bit(tensors: dict[str, Any]) -> dict[str, Any]:
        tensors["model.norm.weight"][0] += 0.125
        return tensors

    other = base_changed(tmp_path / "other", one_bit)
    assert run(["registry", "try", "prover", "--base", str(other), "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["error"]["kind"] == "AdapterMismatch"
    assert "trained on another base" in said["error"]["message"]
    assert digest_folder(TINY) in said["error"]["message"]
    with pytest.raises(AdapterMismatch, match="trained on another base"):
        load_checked("prover", str(other))


def test_fewer_layers(tmp_path: Path) -> None:
    unbased(saved(tmp_path / "a"))

    def halved(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor for name, tensor in tensors.items() if ".layers.2." not in name and ".3." not in name}

    layers = {"num_hidden_layers": 2, "layer_types": ["full_attention"] * 2}
    other = base_changed(tmp_path / "other", halved, **layers)
    with pytest.raises(AdapterMismatch, match=r"made for another base: 8 of its tensors.*has no place in the base"):
        try_adapters(["prover"], str(other))


def test_another_width(tmp_path: Path, random_llama: Path) -> None:
    unbased(saved(tmp_path / "a"))
    with pytest.raises(AdapterMismatch, match=r"does not fit its base: .*size mismatch"):
        try_adapters(["prover"], str(random_llama))


def test_a_base_that_is_nowhere(tmp_path: Path) -> None:
    unbased(saved(tmp_path / "a"))
    assert run(["registry", "try", "prover"]) == 2
    with pytest.raises(NotFound):
        try_adapters(["nobody"], None)
    with pytest.raises(InputError, match="is a base, not an adapter"):
        try_adapters([NAME], None)


# --- adapters that are not whole ---


def test_a_tensor_that_is_missing(tmp_path: Path) -> None:
    unbased(changed(saved(tmp_path / "a"), lambda tensors: dict(list(tensors.items())[1:])))
    with pytest.raises(AdapterMismatch, match=r"1 of its tensors.*: is missing"):
        try_adapters(["prover"], NAME)


def test_a_tensor_too_many(tmp_path: Path) -> None:
    def doubled(tensors: dict[str, Any]) -> dict[str, Any]:
        return tensors | {name.replace("layers.0", "layers.9"): tensor.clone() for name, tensor in tensors.items()}

    unbased(changed(saved(tmp_path / "a"), doubled))
    with pytest.raises(AdapterMismatch, match="has no place in the base"):
        try_adapters(["prover"], NAME)


def test_an_adapter_that_does_nothing(tmp_path: Path) -> None:
    def hushed(tensors: dict[str, Any]) -> dict[str, Any]:
        # So small that nothing of it is left in float32: all-zero matrices are refused before anything is loaded.
        return {name: tensor * 1e-30 if "lora_B" in name else tensor for name, tensor in tensors.items()}

    unbased(changed(saved(tmp_path / "a"), hushed))
    with pytest.raises(AdapterMismatch, match="loads but changes nothing: on 5 prompts"):
        load_checked("prover", NAME)
    with pytest.raises(AdapterMismatch, match="changes nothing"):
        registered(configured(tmp_path / "a", base_model_name_or_path=NAME))


def test_an_adapter_that_makes_numbers_that_are_none(tmp_path: Path) -> None:
    def loud(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor * 1e30 for name, tensor in tensors.items()}

    unbased(changed(saved(tmp_path / "a"), loud))
    with pytest.raises(AdapterMismatch, match="gives numbers that are none"):
        try_adapters(["prover"], NAME)


def test_an_adapter_that_rewrites_its_base(tmp_path: Path) -> None:
    registered(saved(tmp_path / "a", init_lora_weights="pissa"))
    with pytest.raises(AdapterMismatch, match="rewrites its base when it is loaded"):
        try_adapters(["prover"], NAME)


def test_weights_that_are_not_those_of_the_card(tmp_path: Path) -> None:
    entry = registered(saved(tmp_path / "a"))
    content = bytearray((entry / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (entry / WEIGHTS).write_bytes(content)
    for load in (lambda: load_checked("prover"), lambda: try_adapters(["prover"], None)):
        with pytest.raises(AdapterMismatch, match="is damaged: its card is of the adapter"):
            load()


def test_nothing_of_the_base_is_written(tmp_path: Path) -> None:
    registered(saved(tmp_path / "a"))
    before = digest_folder(TINY)
    load_checked("prover")
    assert digest_folder(TINY) == before
