"""What a training step makes small: TRL's loss on the rows, and what a guard adds to it.

Which rows a guard reads follows from the number of the step alone, so a run that goes on after a stop reads the same.
"""

from typing import TYPE_CHECKING, Any

from speciate.train.divergence import KlGuard, kl_to_base

if TYPE_CHECKING:
    import torch
    from trl.trainer.sft_trainer import SFTTrainer


def guarded(steps: int, accumulation: int, pad: int, kl: KlGuard | None) -> "type[SFTTrainer]":
    """TRL's trainer with the guard's part of the loss; every batch of a step has rows of its own."""
    from trl.trainer.sft_trainer import SFTTrainer

    if kl is None:
        return SFTTrainer
    guard = kl
    order = guard.order(steps * accumulation)

    class Guarded(SFTTrainer):
        batches = 0

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, "torch.Tensor | Any"],
            return_outputs: bool = False,
            num_items_in_batch: "torch.Tensor | int | None" = None,
        ) -> Any:
            loss: Any = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if not model.training:
                return loss
            place = self.state.global_step * accumulation + self.batches % accumulation
            self.batches += 1
            apart = kl_to_base(model, guard.batch(order, place), guard.direction, pad)
            return loss + guard.coefficient * apart / accumulation

    return Guarded
