"""What the modules of a base are given when it reads some rows, and which way the loss would move their weights.

The base is not changed: everything is seen by hooks, and no weight has a gradient, so that weights of 4 bits do too.
"""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from speciate.models.base import CausalLM


READ_TOGETHER = 16
"""Rows."""


class Row(Protocol):
    """One training row."""

    @property
    def input_ids(self) -> Sequence[int]:
        """Its tokens."""
        ...

    @property
    def labels(self) -> Sequence[int]:
        """Its tokens where they count in the loss, else -100."""
        ...


def some(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` of the rows, or all where there are fewer; which ones follows from the seed."""
    return [rows[place] for place in sorted(Random(seed).sample(range(len(rows)), min(count, len(rows))))]


def covariances(model: "CausalLM", modules: Mapping[str, Any], rows: Sequence[Row]) -> "dict[str, torch.Tensor]":
    """Of each module the mean over rows of X^T X in float64, X being its inputs (tokens, features) over their largest
    size: rows of large activations would drown the others. Rows of one length are read together, and share that size
    where the module is given their tokens without telling rows apart.
    """
    import torch

    sums: dict[str, torch.Tensor] = {}
    last: tuple[torch.Tensor, torch.Tensor] | None = None
    """Queries, keys and values are made of the same inputs, one after the other."""

    def product_of(inputs: "torch.Tensor") -> "torch.Tensor":
        seen = _exact(inputs.detach())
        apart = seen if seen.ndim > 2 else seen[None]
        size = apart.abs().flatten(1).amax(dim=1).clamp(min=1e-12)
        flat = (apart / size.reshape(-1, *[1] * (apart.ndim - 1))).flatten(0, -2)
        return flat.T @ flat / len(rows)

    def watching(name: str) -> Any:
        def look(_: Any, inputs: tuple["torch.Tensor", ...], __: Any) -> None:
            nonlocal last
            if last is None or last[0] is not inputs[0]:
                last = (inputs[0], product_of(inputs[0]))
            sums[name] = sums[name] + last[1] if name in sums else last[1]

        return look

    with torch.no_grad(), _hooked({module: watching(name) for name, module in modules.items()}):
        for together in _of_one_length(rows):
            model(input_ids=_batch(model, [row.input_ids for row in together]), use_cache=False)
    return sums


def gradients(model: "CausalLM", modules: Mapping[str, Any], rows: Sequence[Row]) -> "dict[str, torch.Tensor]":
    """Of each module the mean over rows of the gradient of the loss by its weight (outputs, inputs)."""
    import torch

    sums: dict[str, torch.Tensor] = {}

    def watching(name: str) -> Any:
        def look(_: Any, inputs: tuple["torch.Tensor", ...], output: "torch.Tensor") -> None:
            seen = inputs[0].detach().flatten(0, -2)

            def add(pull: "torch.Tensor") -> None:
                product = _exact(pull.flatten(0, -2)).T @ _exact(seen) / len(rows)
                sums[name] = sums[name] + product if name in sums else product

            output.register_hook(add)

        return look

    def follow(_: Any, __: Any, output: "torch.Tensor") -> "torch.Tensor":
        return output.requires_grad_()

    embeddings: Any = model.get_input_embeddings()
    hooks = {embeddings: follow} | {module: watching(name) for name, module in modules.items()}
    with torch.enable_grad(), _hooked(hooks):
        for row in rows:
            ids, labels = _batch(model, [row.input_ids]), _batch(model, [row.labels])
            loss: Any = model(input_ids=ids, labels=labels, use_cache=False).loss
            loss.backward()
    return sums


def _exact(values: "torch.Tensor") -> "torch.Tensor":
    """In float64, on the CPU where the device has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _of_one_length(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows in groups of one length, each of no more than READ_TOGETHER."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(len(row.input_ids), []).append(row)
    return [
        group[start : start + READ_TOGETHER]
        for _, group in sorted(groups.items())
        for start in range(0, len(group), READ_TOGETHER)
    ]


def _batch(model: "CausalLM", rows: Sequence[Sequence[int]]) -> "torch.Tensor":
    import torch

    return torch.tensor([list(row) for row in rows], device=model.device)


@contextlib.contextmanager
def _hooked(hooks: Mapping[Any, Any]) -> Generator[None]:
    with contextlib.ExitStack() as held:
        for module, hook in hooks.items():
            held.callback(module.register_forward_hook(hook).remove)
        yield
