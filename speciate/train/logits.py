"""Logits of the adapter or of the base alone for the tokens that count, and what the base makes of rows."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from speciate.models.adapter import switched_off
from speciate.train.encoding import IGNORED, Encoded
from speciate.train.token_losses import nll

if TYPE_CHECKING:
    import torch
    from peft import PeftModel


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
    import torch

    order = sorted(range(len(rows)), key=lambda row: len(rows[row].input_ids))
    found: list[list[float]] = [[] for _ in rows]
    training = model.training
    model.eval()
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        width = len(rows[places[-1]].input_ids)
        lengths = torch.tensor([len(rows[place].input_ids) for place in places], device=model.device)
        ids, labels = (
            torch.tensor(
                [[*part, *[filler] * (width - len(part))] for part in parts], dtype=torch.long, device=model.device
            )
            for parts, filler in (
                ([rows[place].input_ids for place in places], pad),
                ([rows[place].labels for place in places], IGNORED),
            )
        )
        counted = labels[:, 1:] != IGNORED
        given = {"input_ids": ids, "attention_mask": (torch.arange(width, device=ids.device) < lengths[:, None]).long()}
        values = nll(adapter_off(model, given, counted), labels[:, 1:][counted]).exp().tolist()
        for place, count in zip(places, counted.sum(dim=1).tolist(), strict=True):
            # A row's first token has nothing before it, and so no perplexity.
            head = [1.0] if rows[place].labels[0] != IGNORED else []
            found[place] = [*head, *values[:count]]
            values = values[count:]
    model.train(training)
    return found
