"""Which modules of a base an adapter is put on: by their names, or by what the architecture calls them."""

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from speciate.errors import NothingTrainable, PreflightError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CALLED = {
    "mlp-only": re.compile(
        r"mlp|feed_?forward|ffn|moe|experts?|fc_?(?:\d|in|out)|wi(?:_\d)?|dense_4h_to_h|dense_h_to_4h"
    ),
    "attention-only": re.compile(r"(?:\w+_)?attn|(?:\w+_)?attention"),
}
"""What a part of a module's name says of the module and all in it."""
KAPPA_SHARE = 0.2
"""Fraction of the modules that KappaTune takes; its authors' value."""


def resolved(model: "PreTrainedModel", targets: str | Sequence[str]) -> str | list[str]:
    """`all-linear`, or names of modules as PEFT takes them.

    Raises NothingTrainable where a named module is not in the base, PreflightError where it is its output layer.
    """
    if isinstance(targets, str):
        if targets == "all-linear":
            return targets
        return _well_conditioned(model) if targets == "kappa" else _called(model, targets)
    check_targets(model, targets)
    return list(targets)


def check_targets(model: "PreTrainedModel", targets: Sequence[str]) -> None:
    """Raises NothingTrainable for targets that match no linear module, which PEFT ignores where another matches, and
    PreflightError for the output layer.
    """
    output = model.get_output_embeddings()
    modules = linear_modules(model)

    def matched(target: str) -> list[Any]:
        return [module for name, module in modules.items() if name == target or name.endswith(f".{target}")]

    known = sorted({_last(name) for name, module in modules.items() if module is not output})
    wrong = [target for target in targets if not matched(target)]
    if wrong:
        near = [match for target in wrong for match in difflib.get_close_matches(target, known, 1)]
        hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
        raise NothingTrainable(
            f"train.lora.targets: the base has no linear module {', '.join(map(repr, wrong))}{hint} "
            f"(it has {', '.join(known)})"
        )
    last = [target for target in targets if any(module is output for module in matched(target))]
    if last:
        raise PreflightError(
            f"train.lora.targets: {', '.join(map(repr, last))} is the base's output layer, which cannot be adapted "
            f"(the trainer's loss never builds its logits); choose from {', '.join(known)}"
        )


def linear_modules(model: "PreTrainedModel") -> dict[str, Any]:
    """The linear modules of a base, its output layer too, by name."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    return {name: module for name, module in model.named_modules() if isinstance(module, Linear | Conv1D)}


def _called(model: "PreTrainedModel", word: str) -> list[str]:
    """The modules that the architecture calls so. Raises NothingTrainable where there is none."""
    output = model.get_output_embeddings()
    inner = [name for name, module in linear_modules(model).items() if module is not output]
    found = [name for name in inner if any(CALLED[word].fullmatch(part) for part in name.split("."))]
    if not found:
        known = ", ".join(sorted({_last(name) for name in inner}))
        raise NothingTrainable(
            f"train.lora.targets: no module of {type(model).__name__} is called as {word} looks for; name the modules "
            f"themselves (it has {known})"
        )
    return _shortest(found, set(inner) - set(found))


def _well_conditioned(model: "PreTrainedModel") -> list[str]:
    """The modules whose weights have the smallest condition numbers, the output layer left out (KappaTune, 2025)."""
    from peft.helpers import find_kappa_target_modules

    output = model.get_output_embeddings()
    inner = [name for name, module in linear_modules(model).items() if module is not output]
    found: Any = find_kappa_target_modules(model, top_p=1.0, show_progress=False)["target_modules"]
    ordered = [name for name in found or () if name in inner]
    if not ordered:
        raise NothingTrainable("train.lora.targets: the base has no linear module whose condition is known to kappa")
    return ordered[: max(1, int(len(inner) * KAPPA_SHARE))]


def _shortest(names: list[str], others: set[str]) -> list[str]:
    """The last parts of the names where no other module has them, so that the list is the architecture's own words."""
    elsewhere = {_last(name) for name in others}
    short = {_last(name) for name in names}
    return names if short & elsewhere else sorted(short)


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
