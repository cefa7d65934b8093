"""What a training step makes small: the loss on the rows, token by token, and what a guard adds to it.

A step that is not sound is left out, and the adapter stays as it is. All of this follows from the number of the step
and the trainer's log alone, so a run that goes on after a stop does the same. Sums over a step's batches are what one
large batch gives.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate.errors import TrainingDiverged
from speciate.recipe.guard import WHOLE_LOGITS
from speciate.train.checkpoints import newest
from speciate.train.divergence import KlGuard, kl_to_base
from speciate.train.encoding import IGNORED, Encoded
from speciate.train.logits import adapter_off, logits_at
from speciate.train.stability import PATIENCE, Watch
from speciate.train.token_losses import TokenLoss, each_token

if TYPE_CHECKING:
    import torch
    from trl.trainer.sft_trainer import SFTTrainer

NAMED = 16
"""Rows that a message names."""
SCORED_AT_ONCE = 2**28
"""Bytes of logits up to which a batch on a CPU is scored here: the head that TRL folds into the loss scores every token
there, prompts and padding too.
"""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is made small, and what is told where that fails."""

    loss: TokenLoss
    kl: KlGuard | None
    steps: int
    """Of the whole run."""
    pad: int
    rows_of: Callable[[int], Sequence[str]]
    """The names of the rows of a step, the first being 1."""
    checkpoints: Path


def guarded(objective: Objective) -> "type[SFTTrainer]":
    """TRL's trainer with this objective; its `loss_type` must be that of the token loss where TRL has it."""
    import torch
    from transformers import TrainerCallback
    from trl.trainer.sft_trainer import SFTTrainer

    kl, loss = objective.kl, objective.loss

    class Guarded(SFTTrainer):
        def __init__(self, *args: Any, **given: Any) -> None:
            super().__init__(*args, **given)
            self.watch: Watch | None = None
            self.fault: str | None = None
            self.parts: list[torch.Tensor] = []
            self.length = 0.0
            self.batches = 0
            self.each = self.args.gradient_accumulation_steps * self.accelerator.num_processes
            self.order = kl.order(objective.steps * self.each) if kl else []
            self.add_callback(Sound(self))

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, "torch.Tensor | Any"],
            return_outputs: bool = False,
            num_items_in_batch: "torch.Tensor | int | None" = None,
        ) -> Any:
            if not model.training:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if loss.kind in WHOLE_LOGITS or self.small(inputs):
                found = self.from_logits(model, inputs, num_items_in_batch)
            else:
                found: Any = super().compute_loss(model, inputs, False, num_items_in_batch)
            if kl:
                found = found + kl.coefficient * self.apart(kl, model)
            self.batches += 1
            self.parts.append(found.detach())
            return found

        def small(self, inputs: dict[str, Any]) -> bool:
            """Whether scoring the tokens that count is quicker than TRL's head, and has room."""
            counted: Any = inputs["labels"] != IGNORED
            if counted.device.type != "cpu" or "attention_mask" not in inputs or self.aux_loss_enabled:
                return False
            head: Any = self.accelerator.unwrap_model(self.model).get_output_embeddings()
            return int(counted.sum()) * len(head.weight) * torch.float32.itemsize <= SCORED_AT_ONCE

        def from_logits(
            self, model: Any, inputs: dict[str, Any], tokens: "torch.Tensor | int | None"
        ) -> "torch.Tensor":
            """The loss of the tokens that count; losses that need to know of other words can be had in no other way."""
            labels = inputs["labels"][:, 1:]
            counted = labels != IGNORED
            given = {name: value for name, value in inputs.items() if name != "labels"}
            plain: Any = self.accelerator.unwrap_model(model)
            base = adapter_off(plain, given, counted) if loss.kind == "mask-target" else None
            logits, targets = logits_at(model, plain, given, counted), labels[counted]
            found = each_token(loss, logits, targets, base).sum() / torch.as_tensor(
                counted.sum() if tokens is None else tokens
            ).clamp(min=1)
            # The number of tokens is that of all processes, whose gradients are averaged.
            shared = self.args.average_tokens_across_devices and tokens is not None
            return found * self.accelerator.num_processes if shared else found

        def apart(self, guard: KlGuard, model: Any) -> "torch.Tensor":
            """The divergence on the rows that are held beside this batch, as a part of the step's mean."""
            processes = self.accelerator.num_processes
            first = self.state.global_step * self.each
            number = self.batches % self.args.gradient_accumulation_steps * processes + self.accelerator.process_index
            batches = range(self.current_gradient_accumulation_steps * processes)
            held = [guard.batch(self.order, first + place) for place in batches]
            # Gradients of processes are averaged, and their shares are those of a sum.
            share = processes * labelled(held[number]) / max(1, sum(map(labelled, held)))
            plain: Any = self.accelerator.unwrap_model(model)
            return share * kl_to_base(plain, held[number], guard.direction, objective.pad)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            known: Any = self.model
            still = [one for one in known.parameters() if not one.requires_grad]
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            # PEFT lets all parts of an adapter learn that it loads, those that are to stay as they are too.
            for one in still:
                one.requires_grad_(requires_grad=False)

        def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
            found: Any = super()._get_grad_norm(model, grad_norm=grad_norm)
            # The length before it was cut: an infinite gradient is cut to nothing. DeepSpeed tells none and cuts by
            # itself; parameters that are divided have a divided length.
            whole = found.full_tensor() if hasattr(found, "full_tensor") else found
            self.length = 0.0 if whole is None else float(whole)
            return found

        def log(self, logs: dict[str, Any], start_time: float | None = None) -> None:
            if "loss" in logs and self.watch:
                if self.fault:
                    logs["skipped_for"] = self.fault
                if skipped := self.watch.skipped + bool(self.fault):
                    logs["skipped"] = skipped
                self.watch.see(logs)
            super().log(logs, start_time)
            if self.watch and self.watch.in_a_row >= PATIENCE:
                raise TrainingDiverged(diverged(objective, self.state.global_step, str(self.fault)))

    class Sound(TrainerCallback):
        """Takes the gradient away from a step that is not sound: optimizers pass over what has none."""

        def __init__(self, trainer: Guarded) -> None:
            self.trainer = trainer

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
            trainer = self.trainer
            if trainer.watch is None:
                trainer.watch = Watch(state.log_history)
            total = torch.stack(trainer.parts).sum()
            trainer.parts.clear()
            gathered: Any = trainer.accelerator.gather(total)
            reached = float(gathered.mean())
            trained = [one for one in given["model"].parameters() if one.grad is not None]
            length = trainer.length
            # In float16 an overflow is the scaler's affair: it passes the step over, and takes a smaller scale.
            scaled = trainer.accelerator.scaler is not None and not math.isfinite(length)
            trainer.fault = trainer.watch.fault(reached, 0.0 if scaled else length)
            if trainer.fault:
                for one in trained:
                    one.grad = None

    return Guarded


def diverged(objective: Objective, step: int, fault: str) -> str:
    """What to say of a training that takes no step any more."""
    # A row may come again in another epoch of the same step.
    names = list(dict.fromkeys(objective.rows_of(step)))
    found = newest(objective.checkpoints)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f"{fault} at step {step}: lower train.learning_rate. It is the last of {PATIENCE} steps in a row that were "
        f"left out; the last good checkpoint is {str(found) if found else 'none'}. "
        f"The rows of step {step}: {', '.join(names[:NAMED])}{more}"
    )


def labelled(rows: Sequence[Encoded]) -> int:
    """Tokens that count; the first of a row does not, having nothing before it."""
    return sum(label != IGNORED for row in rows for label in row.labels[1:])
