"""Which answers of an evaluation were given before, known without a model: their names follow from the tokens of the
prompts, and those need a tokenizer alone.
"""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from speciate import storage
from speciate.evals.memory import Memory
from speciate.evals.sources import Part, Questions
from speciate.models.base import BaseSource, Compute, load_tokenizer
from speciate.models.decoding import Ask, Sampling, row_seed
from speciate.models.population import BASE
from speciate.models.sampler import continuation_ids, prompt_ids, stop_tokens
from speciate.pipeline.measuring import adapter_identity, base_identity, memory_of
from speciate.storage import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from speciate.models.base import CausalLM


def remembered(
    asked: Questions, source: BaseSource, compute: Compute, quantization: str, adapters: Mapping[str, str]
) -> dict[str, int]:
    """For the base and each adapter, given by label and digest, how many answers to the items are remembered.

    Answers to tasks of the harness are not counted: only its tasks know what they ask.
    """
    identity = base_identity(source, compute, quantization)
    identities = {BASE: identity} | {label: adapter_identity(identity, one) for label, one in adapters.items()}
    # To open the memory is to make it where it is not there.
    if not (storage.home() / "cache" / "answers.sqlite").is_file():
        return dict.fromkeys(identities, 0)
    tokenizer = load_tokenizer(source, chat=False)
    stops = stop_tokens(configured(source.folder), tokenizer)
    with memory_of(identities) as memory:
        return {
            member: sum(
                memory.find(name) is not None
                for part in asked.parts
                for name in names_of(part, member, memory, tokenizer, stops)
            )
            for member in identities
        }


def names_of(
    part: Part, member: str, memory: Memory, tokenizer: "PreTrainedTokenizerBase", stops: list[int]
) -> list[bytes]:
    """The names of a member's answers to the items of a part, as `evals.runner` gives them."""
    given = part.sampling
    sampling = Sampling(given.max_new_tokens, temperature=given.temperature, top_p=given.top_p, stop=given.stop)
    names: list[bytes] = []
    for item in part.items:
        prompt = tuple(prompt_ids(tokenizer, item.prompt))
        if part.judge is None:
            choices = [list(continuation_ids(tokenizer, choice)) for choice in item.choices]
            names.append(memory.name(member, "choose", list(prompt), choices))
            continue
        number = int(digest(item.digest.encode())[-15:], 16)
        asks = [Ask(member, prompt, row_seed(given.seed, sample, number)) for sample in range(given.samples)]
        names += [memory.asked(ask, sampling, stops) for ask in asks]
    return names


def configured(folder: Path) -> "CausalLM":
    """What stands for a loaded base where only its generation settings are asked for."""
    from transformers import AutoConfig, GenerationConfig

    settings: Any
    try:
        settings = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        settings = GenerationConfig.from_model_config(config)
    return cast("CausalLM", SimpleNamespace(generation_config=settings))
