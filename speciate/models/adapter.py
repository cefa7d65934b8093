"""Adapters on disk: found in a folder, loaded onto a base, saved, and their fingerprint.

The base's own weights are never changed: an adapter that would change them is refused.
"""

import contextlib
import hashlib
import warnings
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safetensors import SafetensorError

from speciate.errors import AdapterMismatch, InputError, StorageError
from speciate.models.base import BaseSource, memory_digest
from speciate.models.kinds import unfit
from speciate.models.sparse import always_checked, check_places
from speciate.storage import canonical_json, digest_file, digest_json, read_json
from speciate.untrusted import MOST_BYTES

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
MOST_NUMBER = 3.4e38
UNORDERED = ("target_modules", "exclude_modules")
"""Sets to PEFT, which writes them in the order that Python's random hashing gives."""


@dataclass(frozen=True, slots=True)
class AdapterSource:
    """A PEFT folder and which bytes it is made of."""

    folder: Path
    digest: str
    """Digest of the weights and of the canonical configuration."""
    base: str
    """The base as the configuration names it; empty where it does not."""


def locate_adapter(folder: Path) -> AdapterSource:
    """The adapter in a folder.

    Raises InputError where there is none, or none in safetensors, and AdapterMismatch for one of a kind that cannot be
    measured beside its base.
    """
    weights, config = folder / WEIGHTS, folder / CONFIG
    if not config.is_file():
        raise InputError(f"{str(folder)!r} is no PEFT adapter: there is no {CONFIG}")
    if not weights.is_file():
        pickled = sorted(path.name for path in folder.glob("adapter_model*") if path.suffix != ".safetensors")
        advice = f"; {pickled[0]} can run code and is not opened: convert it to safetensors" if pickled else ""
        raise InputError(f"{str(folder)!r} is no PEFT adapter: there is no {WEIGHTS}{advice}")
    if config.stat().st_size > MOST_BYTES:
        raise InputError(f"{str(config)!r} is no configuration: it has {config.stat().st_size:,} bytes")
    try:
        found = read_json(config)
    except StorageError as error:
        raise InputError(str(error)) from error
    if not isinstance(found, dict) or "peft_type" not in found:
        raise InputError(f"{str(config)!r} is not the configuration of a PEFT adapter: it has no 'peft_type'")
    values = {str(key): value for key, value in cast("dict[Any, Any]", found).items()}
    if reason := unfit(values):
        raise AdapterMismatch(f"the adapter in {str(folder)!r} cannot be measured: {reason}.")
    digest = digest_json({WEIGHTS: digest_file(weights), CONFIG: canonical_config(values)})
    return AdapterSource(folder, digest, str(values.get("base_model_name_or_path") or ""))


def canonical_config(config: dict[str, Any]) -> dict[str, Any]:
    """A PEFT configuration with its sets in alphabetical order, so that equal adapters have equal bytes.

    Raises InputError where a number of it is none that JSON has, or is too large to be computed with.
    """
    lists: dict[str, list[Any]] = {name: config[name] for name in UNORDERED if isinstance(config.get(name), list)}
    ordered = config | {name: sorted(value, key=str) for name, value in lists.items()}
    for key, number in _numbers(config):
        if abs(number) > MOST_NUMBER:
            shown = f"its {key} is {number!s:.20}, and no float32 is so large"
            raise InputError(f"the configuration {CONFIG} of the adapter is damaged: {shown}")
    try:
        canonical_json(ordered)
    except ValueError as error:
        raise InputError(f"the configuration {CONFIG} of the adapter is damaged: {error}") from error
    return ordered


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    """The numbers of a configuration by their keys, those by modules too."""
    for key, value in config.items():
        for one in value.values() if isinstance(value, dict) else (value,):
            if isinstance(one, int | float):
                yield key, one


def load_adapters(model: "PreTrainedModel", adapters: Mapping[str, AdapterSource]) -> "PeftModel":
    """The base with adapters on it, by the names given, frozen and in evaluation mode.

    Raises AdapterMismatch where an adapter does not belong to the base: a tensor too many, missing, or of another
    shape, or an adapter whose loading changes the base; and where adapters are of several kinds.
    """
    from peft import PeftConfig, PeftModelForCausalLM

    kinds = {name: str(read_json(source.folder / CONFIG).get("peft_type")) for name, source in adapters.items()}
    if len(set(kinds.values())) > 1:
        named = ", ".join(f"{str(adapters[name].folder)!r} is of the kind {kind}" for name, kind in kinds.items())
        raise AdapterMismatch(
            f"adapters of different kinds cannot be on one base at once: {named}. Evaluate those of each kind by "
            "themselves, and set the evaluations beside each other with `speciate compare`"
        )
    before = memory_digest(model)
    peft: PeftModel | None = None
    for name, source in adapters.items():
        try:
            # What PEFT warns of while it loads is checked below, and is an error here.
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                config = PeftConfig.from_pretrained(str(source.folder))
                config.inference_mode = True
                if peft is None:
                    peft = PeftModelForCausalLM(model, config, adapter_name=name)
                result: Any = peft.load_adapter(str(source.folder), name, is_trainable=False)
        except (
            RuntimeError,
            ValueError,
            ArithmeticError,
            TypeError,
            LookupError,
            AttributeError,
            ImportError,
            SafetensorError,
        ) as error:
            why = " ".join(str(error).split())
            raise AdapterMismatch(f"the adapter in {str(source.folder)!r} does not fit its base: {why:.300}") from error
        missing = [key for key in result.missing_keys if f".{name}." in key or key.endswith(f".{name}")]
        for what, keys in (("has no place in the base", result.unexpected_keys), ("is missing", missing)):
            if keys:
                raise AdapterMismatch(
                    f"the adapter in {str(source.folder)!r} was made for another base: {len(keys)} of its tensors, the "
                    f"first {keys[0]!r}: {what}"
                )
        if kinds[name] == "SHIRA":
            always_checked()
            check_places(peft, name, str(source.folder))
    if peft is None:
        raise ValueError("there is no adapter to load")
    if memory_digest(peft) != before:
        named = ", ".join(repr(str(source.folder)) for source in adapters.values())
        raise AdapterMismatch(
            f"loading {named} changed the base's weights, or put tensors of their own among them, so neither base nor "
            "adapters would be measured as they are; convert them to plain LoRA first"
        )
    return peft.eval()


def trainable(model: "PeftModel") -> dict[str, Any]:
    """The parameters that training may change, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@contextlib.contextmanager
def switched_off(model: "PeftModel") -> Generator[None]:
    """For the block the model is its base. PEFT lets all parts learn of an adapter that it switches on again; here what
    is to stay as it is stays so.
    """
    still = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    try:
        with model.disable_adapter():
            yield
    finally:
        for parameter in still:
            parameter.requires_grad = False


def weights_digest(model: "PeftModel") -> str:
    """SHA-256 of the trainable parameters in memory."""
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(trainable(model).items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return "sha256:" + total.hexdigest()


def save(model: "PeftModel", source: BaseSource, folder: Path) -> None:
    """Write weights and configuration to `folder`; the configuration names the base as the recipe does."""
    config = model.peft_config["default"]
    loaded_from = config.base_model_name_or_path
    # PEFT has the folder that the base was loaded from: right for checkpoints, where it compares vocabularies by that
    # name and would ask the hub for a name that is no path; but a path of this machine must not travel.
    config.base_model_name_or_path = source.name
    model.save_pretrained(str(folder), save_embedding_layers=False)
    config.base_model_name_or_path = loaded_from
    (folder / "README.md").unlink(missing_ok=True)
