"""Logits of the adapter or of the base alone for the tokens that count, and what the base makes of rows."""

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from speciate.models.adapter import switched_off
from speciate.train.encoding import IGNORED, Encoded
from speciate.train.token_losses import nll

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


def padded(rows: Sequence[Encoded], pad: int, device: "torch.device") -> "tuple[dict[str, torch.Tensor], torch.Tensor]":
    """What a model is given of a batch, and its labels (rows, length); what is filled up counts for nothing."""
    import torch

    lengths = torch.tensor([len(row.input_ids) for row in rows], device=device)
    width = int(lengths.max())

    def filled(parts: Iterable[list[int]], filler: int) -> torch.Tensor:
        whole = [[*part, *[filler] * (width - len(part))] for part in parts]
        return torch.tensor(whole, dtype=torch.long, device=device)

    mask = (torch.arange(width, device=device) < lengths[:, None]).long()
    given = {"input_ids": filled((row.input_ids for row in rows), pad), "attention_mask": mask}
    return given, filled((row.labels for row in rows), IGNORED)


def logits_at(model: Any, plain: "PeftModel", given: dict[str, Any], counted: "torch.Tensor") -> "torch.Tensor":
    """Logits (tokens, vocabulary) for the tokens that count, `counted` (rows, length - 1) saying which; `plain` is the
    model without what spreads it over processes. Where the base can, no others are computed.
    """
    places = counted.any(dim=0).nonzero().flatten()
    forward: Any = plain.get_base_model().forward
    if "logits_to_keep" in inspect.signature(forward).parameters:
        return model(**given, use_cache=False, logits_to_keep=places).logits[counted[:, places]]
    return model(**given, use_cache=False).logits[:, :-1][counted]


def adapter_off(plain: "PeftModel", given: dict[str, Any], counted: "torch.Tensor") -> "torch.Tensor":
    """The base's logits for the tokens that count, without gradient."""
    import torch

    with torch.no_grad(), switched_off(plain):
        return logits_at(plain, plain, given, counted)


def perplexities(model: "PeftModel", rows: Sequence[Encoded], batch_size: int, pad: int) -> list[list[float]]:
    """1 / q(y) under the base of each token that counts, for each row."""

    order = sorted(range(len(rows)), key=lambda row: len(rows[row].input_ids))
    found: list[list[float]] = [[] for _ in rows]
    training = model.training
    model.eval()
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        given, labels = padded([rows[place] for place in places], pad, model.device)
        counted = labels[:, 1:] != IGNORED
        values = nll(adapter_off(model, given, counted), labels[:, 1:][counted]).exp().tolist()
        for place, count in zip(places, counted.sum(dim=1).tolist(), strict=True):
            # A row's first token has nothing before it, and so no perplexity.
            head = [1.0] if rows[place].labels[0] != IGNORED else []
            found[place] = [*head, *values[:count]]
            values = values[count:]
    model.train(training)
    return found
