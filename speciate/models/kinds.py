"""Which adapters can be compared on one base: those that leave nothing of themselves in it when they are off,
whatever they do when they are on. Says of each other kind what it is, why it cannot, and what to do. Reads a
configuration alone, and loads nothing.
"""

from collections.abc import Mapping
from typing import Any

from speciate.models.patterns import unplain

LORA = "LORA"
MEASURABLE = {
    LORA, "ADALORA", "BOFT", "FOURIERFT", "HRA", "IA3", "LN_TUNING", "LOHA", "LOKR", "MISS", "OFT", "OSF", "SHIRA",
    "VERA",
}  # fmt: skip
"""Kinds that are known to leave the base bit for bit as it is when the adapter is off (`tests/unit/test_kinds.py`)."""
IN_THE_PROMPT = {
    "PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "ADAPTION_PROMPT", "CARTRIDGE",
}  # fmt: skip
REWRITING = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of the names of initialisations that take what they begin with out of the base's weights."""
MERGE = "merge it into a copy of the base (PEFT's merge_and_unload) and evaluate that copy as a base"


def unfit(config: Mapping[str, Any]) -> str:
    """Why an adapter of this configuration cannot be measured beside its base, and what to do; nothing where it can."""
    kind, bias = str(config.get("peft_type")), config.get("bias") or "none"
    called = "a LoRA" if kind == LORA else f"of the kind {kind}"
    start = str(config.get("init_lora_weights", "")).lower()
    if kind in IN_THE_PROMPT:
        return (
            f"it is of the kind {kind}: it puts learned vectors before every prompt, so that adapter and base would "
            "not read the same tokens in one batch. Train a LoRA in its place"
        )
    if kind not in MEASURABLE:
        return (
            f"it is of the kind {kind}, which is not known here to leave the base as it is when the adapter is off "
            f"({', '.join(sorted(MEASURABLE))} are). Train one of those in its place, or {MERGE}"
        )
    if bias != "none":
        return (
            f"it is {called} with bias {bias!r}: it has values of its own for the base's biases, which stay "
            "there when the adapter is off, so that the base would not be measured as it is. Train with bias 'none', "
            f"or {MERGE}"
        )
    if start.startswith(REWRITING):
        return (
            f"it began with init_lora_weights {start!r}, and so rewrites its base when it is loaded: "
            "base and other adapters would not be measured as they are. Convert it to a plain LoRA (PEFT's "
            "save_pretrained with path_initial_model_for_weight_conversion)"
        )
    if config.get("megatron_config"):
        return (
            "it has megatron_config: loading it would import the Python module "
            f"{config.get('megatron_core')!r} that it names, and nothing that an adapter names is run here. Remove "
            "megatron_config from its configuration"
        )
    for key, what in (
        ("trainable_token_indices", "has embeddings of its own in the place of the base's"),
        ("layer_replication", "repeats layers of the base, which makes another model of it"),
        ("kasa_config", "takes the smallest singular directions out of the base's weights"),
        ("alora_invocation_tokens", "speaks only after certain tokens, which an answer in pieces does not show it"),
    ):
        if config.get(key):
            return f"it is {called} with {key}: it {what}. Train without {key}, or {MERGE}"
    return unplain(config)


def unlike(config: Mapping[str, Any]) -> str:
    """Why an adapter's change of the base is in proportion to none of its matrices; nothing where it may be."""
    kind = str(config.get("peft_type"))
    return "" if kind == LORA else f"it is of the kind {kind}, and only a LoRA changes by a factor of its matrices"
