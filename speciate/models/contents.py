"""What a file of tensors holds, and whether it can be of any use. Made for files of strangers: the header is looked at
before a library trusts it, and nothing in it is run.
"""

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from speciate.errors import InputError

if TYPE_CHECKING:
    import torch

MOST_HEADER = 16 * 2**20
"""Bytes; the headers of the largest adapters have less than a tenth of it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Of a safetensors file."""

    tensors: int
    parameters: int
    dtypes: tuple[str, ...]
    """The commonest first."""


def contents(path: Path) -> Contents:
    """What the header says. Raises InputError where it is damaged, or where a tensor of the file is empty."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > min(MOST_HEADER, path.stat().st_size):
        raise InputError(
            f"{str(path)!r} is not a safetensors file: its header would have {length:,} bytes (at most {MOST_HEADER:,})"
        )
    shapes: dict[str, list[int]] = {}
    dtypes: Counter[str] = Counter()
    try:
        with safe_open(path, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                part = tensors.get_slice(name)
                shapes[name] = list(part.get_shape())
                dtypes[str(part.get_dtype())] += 1
    except (SafetensorError, OSError) as error:
        raise InputError(f"{str(path)!r} is not a safetensors file: {error}") from error
    if empty := [name for name, shape in shapes.items() if not prod(shape)]:
        raise InputError(
            f"{str(path)!r}: {len(empty)} of its tensors are empty, the first is {empty[0]!r}. An adapter that was "
            "saved under DeepSpeed ZeRO-3 without gathering its weights looks so: save it again, gathered"
        )
    if not shapes:
        raise InputError(f"{str(path)!r} holds no tensor")
    return Contents(len(shapes), sum(map(prod, shapes.values())), tuple(name for name, _ in dtypes.most_common()))


def check_finite(path: Path) -> None:
    """Raises InputError where a tensor holds what is no number."""
    import torch

    with safe_open(path, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - no mapping
            if not torch.isfinite(_numbers(path, tensors, name)).all():
                raise InputError(
                    f"{str(path)!r}: the tensor {name!r} holds numbers that are none (NaN or infinite), so the adapter "
                    "can say nothing: its training diverged, or the file is damaged"
                )


def check_speaks(path: Path) -> None:
    """Raises InputError where all that is added to the base is zero."""
    with safe_open(path, framework="pt") as tensors:
        # The other half of a LoRA alone adds nothing; any other tensor may change the base by being there.
        added = [name for name in tensors.keys() if "lora_A" not in name and "lora_embedding_A" not in name]  # noqa: SIM118
        if all(_is_zero_up(name, _numbers(path, tensors, name)) for name in added):
            raise InputError(
                f"{str(path)!r} changes nothing: every lora_B in it is zero, as before training. It was saved before "
                "the first step, or its optimizer never had its parameters"
            )


def _numbers(path: Path, tensors: Any, name: str) -> "torch.Tensor":
    """A tensor in float32. Raises InputError where its numbers are of a format that nothing here computes in."""
    try:
        tensor: torch.Tensor = tensors.get_tensor(name)
        if not tensor.is_complex():
            return tensor.float()
        why = "its numbers are complex"
    except (SafetensorError, RuntimeError) as error:
        why = str(error)
    raise InputError(f"{str(path)!r}: the tensor {name!r} cannot be read ({why}): save it in float32 or bfloat16")


def _is_zero_up(name: str, tensor: "torch.Tensor") -> bool:
    return ("lora_B" in name or "lora_embedding_B" in name) and not tensor.any()
