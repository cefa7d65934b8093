"""What is tried before the first step: whether anything can learn, and whether the longest batch fits into memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from speciate.errors import LongestBatchFailed, NothingTrainable
from speciate.models.adapter import trainable
from speciate.models.base import Compute
from speciate.recipe.guard import WHOLE_LOGITS
from speciate.train.divergence import KlGuard, kl_to_base
from speciate.train.encoding import IGNORED, Encoded
from speciate.train.logits import adapter_off, logits_at, padded
from speciate.train.sft import Sft, autocast
from speciate.train.token_losses import PLAIN, TokenLoss, among_others, nll

if TYPE_CHECKING:
    from peft import PeftModel


def preflight(
    model: "PeftModel",
    rows: Sequence[Encoded],
    settings: Sft,
    pad: int,
    compute: Compute,
    kl: KlGuard | None = None,
    loss: TokenLoss = PLAIN,
) -> None:
    """Check that something is trainable, and that the longest batch fits with the longest rows that are held beside it.

    Raises NothingTrainable, LongestBatchFailed.
    """
    import torch

    if not trainable(model):
        raise NothingTrainable("no parameter of the adapter requires a gradient: train.lora.targets matches nothing")
    longest, width = _longest(rows, settings.batch_size)
    held, wide = _longest(kl.rows, kl.batch_size) if kl else ([], 0)
    state = torch.get_rng_state()
    trying = (
        f"the longest batch ({len(longest)} rows of {width} tokens)",
        f"train.batch_size={max(1, settings.batch_size // 2)} "
        f"train.gradient_accumulation={settings.gradient_accumulation * 2}",
    )
    try:
        model.train()
        if settings.activation_checkpointing:
            model.activation_checkpointing_enable()
        _batch(model, longest, pad, compute, loss)
        if kl:
            trying = (
                f"what guard.kl holds ({len(held)} rows of {wide} tokens)",
                f"guard.kl.rows={max(1, len(held) // 2)}",
            )
            with autocast(compute):
                apart = kl_to_base(model, held, kl.direction, pad)
            apart.backward()
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate" not in str(error):
            raise
        what, change = trying
        raise LongestBatchFailed(f"{what} does not fit in the memory of {compute.device}: set {change}") from error
    finally:
        model.zero_grad(set_to_none=True)
        torch.set_rng_state(state)


def _longest(rows: Sequence[Encoded], count: int) -> tuple[list[Encoded], int]:
    """The longest rows, and the length of the first."""
    found = sorted(rows, key=lambda row: len(row.input_ids), reverse=True)[:count]
    return found, len(found[0].input_ids)


def _batch(model: "PeftModel", rows: Sequence[Encoded], pad: int, compute: Compute, loss: TokenLoss) -> None:
    """Forward and backward as in a step."""
    from trl.trainer.utils import add_fused_lm_head

    given, labels = padded(rows, pad, model.device)
    if loss.kind in WHOLE_LOGITS:
        counted = labels[:, 1:] != IGNORED
        with autocast(compute):
            base = adapter_off(model, given, counted) if loss.kind == "mask-target" else None
            each = nll(logits := logits_at(model, model, given, counted), labels[:, 1:][counted])
            if base is not None:
                each = each + among_others(logits, base, labels[:, 1:][counted])
        each.sum().backward()
        return
    # As the trainer does, which never has the logits of all tokens at once.
    add_fused_lm_head(cast(Any, model.get_base_model()), outputs=("log_probs",))
    with autocast(compute):
        found = model(**given, labels=labels, fused_lm_head=True, use_cache=False)
    (-found.log_probs.sum()).backward()
