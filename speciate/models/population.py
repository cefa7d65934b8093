"""One base in memory with all the adapters that are compared on it, and batches whose rows they answer together.

A pass over the base serves every row; each plain LoRA adds its part to its own rows. So several of them cost one base
in memory and one pass in time, and an adapter says in a mixed batch what it says alone. Adapters of other kinds answer
in batches of their own, on the same base. Knows nothing of text or tasks.
"""

import contextlib
import inspect
from collections.abc import Generator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from speciate.models.adapter import switched_off

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from speciate.models.base import CausalLM

BASE = "base"
"""The name under which the base itself answers."""


class Population:
    """A base and its adapters, by the names under which they answer."""

    def __init__(
        self, model: "CausalLM", tokenizer: "PreTrainedTokenizerBase", adapters: Mapping[str, str] | None = None
    ) -> None:
        """`adapters` gives for each name the adapter's name in the PEFT model."""
        self.model: Any = model
        self.tokenizer = tokenizer
        self.adapters = dict(adapters or {})
        self.layers = _lora_layers(model) if self.adapters else []
        plain_layers = bool(self.layers) and all(map(_is_plain, self.layers)) and not _replaces_modules(model)
        self.mixes = plain_layers and _keeps_rows(self.model, self.layers)
        """Whether one batch may hold rows of several; else each has batches of its own."""

        plain = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        self.accepted = frozenset(inspect.signature(plain.forward).parameters)
        """What the base's forward takes: not every architecture knows positions."""

    @property
    def members(self) -> tuple[str, ...]:
        """The base, then the adapters."""
        return (BASE, *self.adapters)

    def batches(
        self, members: Sequence[str], lengths: Sequence[int], batch_size: int, weights: Sequence[int] | None = None
    ) -> list[list[int]]:
        """Numbers of the rows of each batch: rows of like length together, the longest first, so that what does not
        fit fails at once; within a batch ordered by member. A row counts as `weights` says, else as one.
        """
        order = sorted(range(len(members)), key=lambda row: (-lengths[row], row))
        kinds = [order] if self.mixes else [[row for row in order if members[row] == name] for name in self.members]
        place = {name: number for number, name in enumerate(self.members)}
        made: list[list[int]] = []
        for rows in kinds:
            room = 0
            for row in rows:
                weight = weights[row] if weights else 1
                if room < weight:
                    made.append([])
                    room = batch_size
                made[-1].append(row)
                room -= weight
        return [sorted(batch, key=lambda row: (place[members[row]], row)) for batch in made]

    @contextlib.contextmanager
    def speaking(self, members: Sequence[str]) -> Generator["Speakers"]:
        """For the block, row i of what goes through the model is answered by members[i], which are in groups.

        Raises ValueError for several members where they cannot be mixed.
        """
        speakers = Speakers(members)
        names = {self.adapters[name] for name in members if name != BASE}
        with contextlib.ExitStack() as held:
            if self.mixes:
                held.enter_context(self._silent())
                for layer in self.layers if names else ():
                    held.callback(layer.register_forward_hook(self._added(speakers)).remove)
            elif self.adapters and not names:
                held.enter_context(switched_off(self.model))
            elif self.adapters and len(set(members)) == 1:
                # Anew it would freeze an adapter that is measured while it trains.
                if self.model.active_adapters != [name := names.pop()]:
                    self.model.set_adapter(name, inference_mode=True)
            elif self.adapters:
                raise ValueError(f"adapters of these kinds cannot answer in one batch: {', '.join(sorted(names))}")
            yield speakers

    @contextlib.contextmanager
    def _silent(self) -> Generator[None]:
        """For the block the layers give what the base gives. PEFT's own way of saying so looks at the whole model,
        which takes longer than a small base takes for a batch.
        """
        before = [layer._disable_adapters for layer in self.layers]
        try:
            for layer in self.layers:
                layer._disable_adapters = True
            yield
        finally:
            for layer, silent in zip(self.layers, before, strict=True):
                layer._disable_adapters = silent

    def _added(self, speakers: "Speakers") -> Any:
        """A hook that adds to each group of rows what its adapter adds: B(A(x)) times its scale."""
        adapters = self.adapters

        def hook(layer: Any, inputs: tuple["torch.Tensor", ...], output: "torch.Tensor") -> "torch.Tensor":
            for name, start, stop in speakers.groups:
                adapter = adapters.get(name)
                if adapter not in layer.lora_A:
                    continue
                down, up, scale = layer.lora_A[adapter], layer.lora_B[adapter], layer.scaling[adapter]
                low = down(inputs[0][start:stop].to(down.weight.dtype))
                rows = output[start:stop]
                if up.bias is None and rows.dtype == low.dtype and rows.is_contiguous():
                    # All in one, without a product of the output's size in between.
                    rows.flatten(0, -2).addmm_(low.flatten(0, -2), up.weight.t(), alpha=scale)
                else:
                    rows += (up(low) * scale).to(rows.dtype)
            return output

        return hook


class Speakers:
    """Who answers each row of a batch, while rows that have their answer leave it."""

    def __init__(self, members: Sequence[str]) -> None:
        self.keep(members)

    def keep(self, members: Sequence[str]) -> None:
        """The rows that are left."""
        self.groups: list[tuple[str, int, int]] = []
        start = 0
        for name, rows in groupby(members):
            stop = start + len(list(rows))
            self.groups.append((name, start, stop))
            start = stop


def _lora_layers(model: "CausalLM") -> list[Any]:
    from peft.tuners.lora.layer import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    return found if all(isinstance(layer, LoraLayer) for layer in found) else []


def _keeps_rows(model: Any, layers: Sequence[Any]) -> bool:
    """Whether each layer sees the batch as rows of tokens: some architectures lay them end to end before a layer, and
    experts see what is sent to them, so that nothing tells whose tokens they are.
    """
    import torch

    rows, tokens = 2, 3
    seen: set[int] = set()

    def look(layer: Any, inputs: tuple["torch.Tensor", ...]) -> None:
        if tuple(inputs[0].shape[:2]) == (rows, tokens):
            seen.add(id(layer))

    with contextlib.ExitStack() as held, torch.inference_mode():
        for layer in layers:
            held.callback(layer.register_forward_pre_hook(look).remove)
        ids = torch.zeros(rows, tokens, dtype=torch.long, device=model.device)
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return all(id(layer) in seen for layer in layers)


def _is_plain(layer: Any) -> bool:
    """Whether an adapter's part is B(A(x)) and no more: a linear module, no variant such as DoRA."""
    kinds = ("Linear", "Linear4bit", "Linear8bitLt")
    return type(layer).__name__ in kinds and not layer.merged and not getattr(layer, "lora_variant", None)


def _replaces_modules(model: "CausalLM") -> bool:
    """Whether an adapter has modules or tokens of its own in the base's place."""
    from peft.utils.other import AuxiliaryTrainingWrapper

    return any(isinstance(module, AuxiliaryTrainingWrapper) for module in model.modules())
