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
    size: rows of large activations would drown the others.
    """
    import torch

    sums: dict[str, torch.Tensor] = {}

    def watching(name: str) -> Any:
        def look(_: Any, inputs: tuple["torch.Tensor", ...], __: Any) -> None:
            seen = _exact(inputs[0].detach().flatten(0, -2))
            seen = seen / seen.abs().max().clamp(min=1e-12)
            product = seen.T @ seen / len(rows)
            sums[name] = sums[name] + product if name in sums else product

        return look

    with torch.no_grad(), _hooked({module: watching(name) for name, module in modules.items()}):
        for row in rows:
            model(input_ids=_batch(model, row.input_ids), use_cache=False)
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
            ids, labels = _batch(model, row.input_ids), _batch(model, row.labels)
            loss: Any = model(input_ids=ids, labels=labels, use_cache=False).loss
            loss.backward()
    return sums


def _exact(values: "torch.Tensor") -> "torch.Tensor":
    """In float64, on the CPU where the device has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _batch(model: "CausalLM", tokens: Sequence[int]) -> "torch.Tensor":
    import torch

    return torch.tensor([list(tokens)], device=model.device)


@contextlib.contextmanager
def _hooked(hooks: Mapping[Any, Any]) -> Generator[None]:
    with contextlib.ExitStack() as held:
        for module, hook in hooks.items():
            held.callback(module.register_forward_hook(hook).remove)
        yield
