"""Which adapters can be compared on one base: those that add to it, and leave nothing of themselves in it when they are
off. Says of each other kind what it is, why it cannot, and what to do. Reads a configuration alone, and loads nothing.
"""

from collections.abc import Mapping
from typing import Any

IN_THE_PROMPT = {
    "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "ADAPTION_PROMPT", "CARTRIDGE",
}  # fmt: skip
REWRITING = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of the names of initialisations that take what they begin with out of the base's weights."""
MERGE = "merge it into a copy of the base (PEFT's merge_and_unload) and evaluate that copy as a base"


def unfit(config: Mapping[str, Any]) -> str:
    """Why an adapter of this configuration cannot be measured beside its base, and what to do; nothing where it can."""
    kind, bias = str(config.get("peft_type")), config.get("bias") or "none"
    start = str(config.get("init_lora_weights", "")).lower()
    if kind in IN_THE_PROMPT:
        return (
            f"it is of the kind {kind}: it puts learned vectors before every prompt, so that adapter and base would "
            "not read the same tokens in one batch. Train a LoRA in its place"
        )
    if kind != "LORA":
        return (
            f"it is of the kind {kind}, and only LoRA is known here to leave the base as it is when the adapter is "
            f"off. Train a LoRA in its place, or {MERGE}"
        )
    if bias != "none":
        return (
            f"it is a LoRA with bias {bias!r}: it has values of its own for the base's biases, which stay there when "
            f"the adapter is off, so that the base would not be measured as it is. Train with bias 'none', or {MERGE}"
        )
    if start.startswith(REWRITING):
        return (
            f"it is a LoRA that began with init_lora_weights {start!r}, and so rewrites its base when it is loaded: "
            "base and other adapters would not be measured as they are. Convert it to a plain LoRA (PEFT's "
            "save_pretrained with path_initial_model_for_weight_conversion)"
        )
    if config.get("megatron_config"):
        return (
            "it is a LoRA with megatron_config: loading it would import the Python module "
            f"{config.get('megatron_core')!r} that it names, and nothing that an adapter names is run here. Remove "
            "megatron_config from its configuration"
        )
    for key, what in (
        ("trainable_token_indices", "has embeddings of its own in the place of the base's"),
        ("layer_replication", "repeats layers of the base, which makes another model of it"),
        ("alora_invocation_tokens", "speaks only after certain tokens, which an answer in pieces does not show it"),
    ):
        if config.get(key):
            return f"it is a LoRA with {key}: it {what}. Train without {key}, or {MERGE}"
    return ""
