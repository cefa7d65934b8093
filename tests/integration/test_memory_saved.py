"""What saves memory changes nothing that comes out: activations computed again, a base in 4 bits, no whole logits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import ResumeMismatch
from speciate.models.adapter import save, trainable, weights_digest
from speciate.models.attaching import attach
from speciate.models.base import Compute, load_model, load_tokenizer, locate
from speciate.models.shape import LoraShape
from speciate.niches import skills
from speciate.pipeline.folder import RunFolder
from speciate.recipe import load_recipe
from speciate.train.encoding import Encoded, encode
from speciate.train.preflight import preflight
from speciate.train.sft import Sft, Step, train

SETTINGS = Sft(
    epochs=1, batch_size=4, gradient_accumulation=1, optimizer="adamw", learning_rate=1e-2, warmup=0.0,
    schedule="constant", weight_decay=0.0, max_grad_norm=1.0, checkpoint_every=100, seed=0,
)  # fmt: skip
FLOAT32 = Compute("cpu", "float32", "float32")


class Bench:
    """A small Qwen3 of random weights and rows for it."""

    def __init__(self, folder: Path) -> None:
        self.source = locate("a-base", folder)
        self.tokenizer: Any = load_tokenizer(self.source)
        items = skills.sample("sums", 12, "rows")
        self.rows: list[Encoded] = [encode(self.tokenizer, item.prompt, item.reference) for item in items]

    def adapter(self, quantization: str = "none", dropout: float = 0.0) -> Any:
        model = load_model(self.source, FLOAT32, quantization)
        return attach(model, LoraShape(4, 8, dropout, "all-linear", False), self.source, 0)

    def trained(self, out: Path, model: Any, **changes: Any) -> Any:
        settings = replace(SETTINGS, **changes)
        preflight(model, self.rows, settings, self.tokenizer.pad_token_id, FLOAT32)
        train(model, self.tokenizer, self.rows, [], settings, FLOAT32, out, list[Step]().append)
        return model.eval()


@pytest.fixture(scope="module")
def bench(random_qwen3: Path) -> Bench:
    return Bench(random_qwen3)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activations_computed_again_are_the_same(bench: Bench, tmp_path: Path, dropout: float) -> None:
    kept = bench.trained(tmp_path / "kept", bench.adapter(dropout=dropout))
    again = bench.trained(tmp_path / "again", bench.adapter(dropout=dropout), activation_checkpointing=True)
    assert weights_digest(again) == weights_digest(kept)
    assert not any(getattr(module, "gradient_checkpointing", False) for module in again.modules()), "training is over"


def test_the_adapter_of_a_base_in_four_bits_stays_exact(bench: Bench, tmp_path: Path) -> None:
    """TRL rounds it to bfloat16; what is saved and loaded again would not say what was trained."""
    import torch

    model = bench.adapter("nf4")
    before = {name: value.detach().clone() for name, value in trainable(model).items()}
    bench.trained(tmp_path / "checkpoints", model, learning_rate=1e-5)
    assert {value.dtype for value in trainable(model).values()} == {torch.float32}
    moved = [value for name, value in trainable(model).items() if not torch.equal(value, before[name])]
    assert len(moved) == len(before), "bfloat16 would have lost steps this small"
    save(model, bench.source, tmp_path / "adapter")


def test_the_longest_batch_is_tried_without_its_logits(bench: Bench) -> None:
    model = bench.adapter()

    def built(*_: Any) -> None:
        raise AssertionError("logits of all tokens at once")

    model.get_output_embeddings().register_forward_hook(built)
    preflight(model, bench.rows, SETTINGS, bench.tokenizer.pad_token_id, FLOAT32)


def test_a_run_may_go_on_with_less_memory(bench: Bench, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("species: a\nbase: {model: a-base}\nniche: {name: lean}\n")
    folder, found = RunFolder(tmp_path), {"torch": "1"}
    folder.begin(load_recipe(recipe), bench.source, found)
    folder.check_same(load_recipe(recipe, ["hardware.activation_checkpointing=true"]), bench.source, found)
    with pytest.raises(ResumeMismatch, match=r"hardware\.processes: 1 -> 2"):
        folder.check_same(load_recipe(recipe, ["hardware.processes=2"]), bench.source, found)
