"""The line that serves a base with adapters by vLLM, and what vLLM would not do of what they are."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speciate.errors import InputError

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values that --max-lora-rank takes and that matter."""
NOT_SERVED = {
    "use_dora": "is a DoRA, which vLLM refuses to load",
    "modules_to_save": "has whole modules of its own (modules_to_save), which vLLM refuses to load",
    "rank_pattern": "has ranks of its own for some modules, and vLLM takes one rank and scale for all",
    "alpha_pattern": "has alphas of its own for some modules, and vLLM takes one scale for all",
    "trainable_token_indices": "has embeddings of its own for some tokens, which vLLM leaves out",
    "lora_bias": "has biases in its matrices, which vLLM refuses to load",
    "target_parameters": "adapts parameters that are no linear modules",
    "alora_invocation_tokens": "speaks after certain tokens only, which vLLM does not know",
}
ODD_MODULES = ("embed_tokens", "lm_head", "wte", "shared")


def line(base: str, adapters: Mapping[str, tuple[Path, Mapping[str, Any]]]) -> str:
    """The command for a shell; `adapters` gives folder and configuration by the name under which each is asked.

    Raises InputError for a base whose name would be read as an option.
    """
    if base.startswith("-"):
        raise InputError(f"the base is named {base!r}, which vLLM would read as an option: name it with --base")
    need = max(_rank(config) for _, config in adapters.values())
    rank = next((allowed for allowed in RANKS if allowed >= need), need)
    several = ["--max-loras", str(len(adapters))] if len(adapters) > 1 else []
    modules = [f"{name}={folder}" for name, (folder, _) in adapters.items()]
    return shlex.join(
        ["vllm", "serve", base, "--enable-lora", "--max-lora-rank", str(rank), *several, "--lora-modules", *modules]
    )


def unserved(name: str, config: Mapping[str, Any]) -> list[str]:
    """What to say of what vLLM does not do of an adapter."""
    said: list[str] = []
    if config.get("peft_type") != "LORA":
        said.append(f"is of the kind {config.get('peft_type')}, and vLLM serves LoRA alone")
    if (config.get("bias") or "none") != "none":
        said.append(f"has values of its own for the base's biases (bias {config['bias']!r}), which vLLM leaves out")
    said += [what for key, what in NOT_SERVED.items() if config.get(key)]
    if _rank(config) > RANKS[-1]:
        said.append(f"has the rank {_rank(config)}, and vLLM takes at most {RANKS[-1]}")
    targets = config.get("target_modules")
    odd = sorted(one for one in targets if _last(one) in ODD_MODULES) if isinstance(targets, list) else []
    if odd:
        said.append(f"adapts {', '.join(odd)}, which vLLM serves for some architectures only")
    return [f"{name} {what}" for what in said]


def _rank(config: Mapping[str, Any]) -> int:
    pattern = config.get("rank_pattern")
    ranks: Sequence[object] = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else [])]
    return max([rank for rank in ranks if isinstance(rank, int)], default=1)


def _last(module: object) -> str:
    return str(module).rsplit(".", 1)[-1]
