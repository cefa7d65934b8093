"""The proof that a base is what it was: on disk, in memory, and in what it says with the adapter off."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speciate.errors import AdapterInert, AdapterUnchanged, BaseAltered, TrainingDiverged
from speciate.models.adapter import switched_off, trainable, weights_digest
from speciate.models.base import BaseSource, Compute, digest_folder, load_model, memory_digest
from speciate.models.population import BASE, Population
from speciate.models.sampler import prompt_ids
from speciate.records import Intact

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    from speciate.models.base import CausalLM


PROBE_TOKENS = 24
"""Length to which prompts are repeated or cut where an adapter must show that it speaks."""


def logits(model: "CausalLM", batch: "torch.Tensor") -> "torch.Tensor":
    """Logits of a batch of token ids, on the CPU."""
    import torch

    with torch.inference_mode():
        return model(input_ids=batch, use_cache=False).logits.float().cpu()


def probe(tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], device: "torch.device") -> "torch.Tensor":
    """Prompts as one batch, all cut to the length of the shortest, so that no padding enters."""
    import torch

    rows = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    shortest = min(map(len, rows))
    return torch.tensor([row[:shortest] for row in rows], device=device)


def whole(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], device: "torch.device", context: int | None = None
) -> "torch.Tensor":
    """Prompts as one batch of equal length, each said over and over up to it: a single token shows no attention."""
    import torch

    rows = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    length = min(PROBE_TOKENS, context or PROBE_TOKENS)
    return torch.tensor([(row * length)[:length] for row in rows if row], device=device)


def check_adapter(model: "PeftModel", digest_before: str, batch: "torch.Tensor") -> None:
    """Raises AdapterUnchanged, TrainingDiverged or AdapterInert where training did nothing that can be used."""
    import torch

    if weights_digest(model) == digest_before:
        raise AdapterUnchanged("the adapter's bytes are what they were before training: nothing was learned")
    broken = [name for name, tensor in trainable(model).items() if not torch.isfinite(tensor).all()]
    if broken:
        raise TrainingDiverged(f"{len(broken)} adapter tensors are not finite, the first is {broken[0]}")
    with switched_off(model):
        off = logits(model, batch)
    if torch.equal(off, logits(model, batch)):
        raise AdapterInert(f"the adapter changes no output of the base on {len(batch)} prompts")


def inert(population: Population, prompts: Sequence[str]) -> list[str]:
    """The adapters that say what their base says to the prompts, bit for bit."""
    import torch

    if not population.adapters:
        return []
    context = getattr(population.model.config.get_text_config(), "max_position_embeddings", None)
    batch = whole(population.tokenizer, prompts, population.model.device, context)
    with population.speaking([BASE] * len(batch)):
        off = logits(population.model, batch)
    found: list[str] = []
    for member in population.adapters:
        with population.speaking([member] * len(batch)):
            if torch.equal(off, logits(population.model, batch)):
                found.append(member)
    return found


def check_base(
    model: "PeftModel",
    source: BaseSource,
    memory_before: str,
    batch: "torch.Tensor",
    compute: Compute,
    quantization: str,
    adapter: Path,
) -> Intact:
    """Compare the base with itself, before and after: digests of disk and memory, and adapter-off logits bit for bit
    with those of the base loaded afresh. Then the saved adapter is loaded onto that fresh base: it must say what the
    adapter in memory says.

    Raises BaseAltered, naming what differs, and AdapterInert where the saved adapter is not the trained one.
    """
    import torch
    from peft import PeftModel

    with switched_off(model):
        off = logits(model, batch)
    fresh = load_model(source, compute, quantization)
    same = torch.equal(off, logits(fresh, batch))
    found = Intact(
        base_digest_before=source.digest,
        base_digest_after=digest_folder(source.folder),
        memory_digest_before=memory_before,
        memory_digest_after=memory_digest(model),
        logits_identical=same,
        prompts=len(batch),
    )
    if not found.holds:
        wrong = [
            text
            for text, bad in (
                (f"its files in {str(source.folder)!r}", found.base_digest_before != found.base_digest_after),
                ("its weights in memory", found.memory_digest_before != found.memory_digest_after),
                ("its answers with the adapter off", not same),
            )
            if bad
        ]
        raise BaseAltered(f"the base {source.name!r} is not what it was before training: {', '.join(wrong)} differ")
    if not torch.equal(logits(PeftModel.from_pretrained(fresh, adapter).eval(), batch), logits(model, batch)):
        raise AdapterInert(f"the adapter saved in {str(adapter)!r} does not say what the trained one says")
    return found
