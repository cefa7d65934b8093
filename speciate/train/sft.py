"""Supervised fine-tuning of an adapter by TRL's SFTTrainer, on rows that are encoded already.

Everything random is fixed before the first step (the order of the rows, the adapter's initial weights), and a
checkpoint counts only once a mark with the digests of its files lies beside it, so that a run that was killed at any
step goes on to the same bytes. Knows nothing of niches, evaluation or the registry.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from speciate.models.adapter import trainable
from speciate.models.base import Compute
from speciate.models.sampler import stop_tokens
from speciate.storage import write_json
from speciate.train.checkpoints import mark, newest
from speciate.train.divergence import KlGuard
from speciate.train.encoding import FILLING, Encoded, training_order
from speciate.train.logits import perplexities
from speciate.train.objective import Objective, guarded
from speciate.train.token_losses import PLAIN, TokenLoss, selected

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Sft:
    """How to train. Values are checked where the recipe is read."""

    epochs: float
    batch_size: int
    gradient_accumulation: int
    optimizer: Literal["adamw", "muon"]
    learning_rate: float
    warmup: float
    """Fraction of the steps in which the rate rises."""
    schedule: Literal["cosine", "linear", "constant"]
    weight_decay: float
    max_grad_norm: float
    checkpoint_every: int
    seed: int
    processes: int = 1
    activation_checkpointing: bool = False
    packing: bool = False

    @property
    def batches_in_a_step(self) -> int:
        """Batches of all processes together."""
        return self.gradient_accumulation * self.processes

    def order(self, rows: Sequence[Encoded]) -> list[int]:
        """The rows of the whole run, in order."""
        return training_order([len(row.input_ids) for row in rows], self.batch_size, self.epochs, self.seed)

    def steps(self, rows: int) -> int:
        """Optimizer steps for `rows` rows, all epochs included."""
        batches = math.ceil(max(1, round(rows * self.epochs)) / self.batch_size)
        return math.ceil(batches / self.batches_in_a_step)

    def filling(self, rows: int) -> int:
        """Rows without a token in the loss that give every process as many whole batches as the others."""
        return -rows % (self.batch_size * self.processes) if self.processes > 1 else 0


@dataclass(frozen=True, slots=True)
class Step:
    """What is known after one step."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Looks at the adapter in the course of its training."""

    every: int
    """Steps."""
    look: Callable[["PeftModel", int], bool]
    """Given the adapter in evaluation mode and the step: whether training is to end here."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training did."""

    steps: int
    resumed_from: int
    tokens: int
    """Tokens of the rows trained on in this process, padding excluded."""
    seconds: float


def muon(model: "PeftModel", settings: Sft) -> "torch.optim.Optimizer":
    """Muon (Jordan et al. 2024) on the adapter's matrices, its steps as large as AdamW's (Liu et al. 2025)."""
    from speciate.train.muon import StackedMuon

    matrices = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return StackedMuon(matrices, lr=settings.learning_rate, weight_decay=settings.weight_decay)


@contextlib.contextmanager
def undisturbed(model: "PeftModel") -> Generator[None]:
    """Evaluation in the midst of training, which then goes on as if nothing had been."""
    import random

    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    training = model.training
    # Accelerate puts the training precision around `forward`; what is evaluated is the plain model.
    around = {name: model.__dict__[name] for name in ("forward", "_original_forward") if name in model.__dict__}
    if "_original_forward" in around:
        model.forward = around["_original_forward"]
    model.eval()
    try:
        yield
    finally:
        model.train(training)
        model.__dict__.update(around)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def autocast(compute: Compute) -> Any:
    """The context in which a training step computes."""
    import torch

    if compute.training == "float32":
        return contextlib.nullcontext()
    return torch.autocast(compute.device, dtype=getattr(torch, compute.training))


def train(
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Encoded],
    dev: Sequence[Encoded],
    settings: Sft,
    compute: Compute,
    checkpoints: Path,
    on_step: Callable[[Step], None],
    kl: KlGuard | None = None,
    measured: Measured | None = None,
    loss: TokenLoss = PLAIN,
    names: Sequence[str] = (),
) -> Trained:
    """Train the adapter in place; goes on from the newest whole checkpoint in `checkpoints`, where there is one.

    `kl` adds its part to the loss. `measured` looks at the adapter every so many steps, and may end the training.
    `loss` is that of each token, and `names` say in messages which rows are meant.

    The loss on `dev` is told with every checkpoint in the trainer's log. Raises TrainingDiverged.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from accelerate import PartialState
    from accelerate.utils.other import extract_model_from_parallel
    from datasets import Dataset, disable_progress_bars
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from trl.trainer.sft_config import SFTConfig

    disable_progress_bars()
    pad = cast(int, tokenizer.pad_token_id)
    if loss.kind == "selective":
        with autocast(compute):
            known = perplexities(model, rows, settings.batch_size, pad)
        rows = selected(rows, known, loss.threshold, stop_tokens(model, tokenizer))
    order = settings.order(rows)
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=1,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        train_sampling_strategy="sequential",
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        lr_scheduler_type="constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        use_cpu=compute.device == "cpu",
        bf16=compute.training == "bfloat16",
        fp16=compute.training == "float16",
        gradient_checkpointing=settings.activation_checkpointing,
        padding_free=settings.packing,
        # Without it a process would wait for the gradients of those that no token reached.
        ddp_find_unused_parameters=False,
        eval_strategy="steps" if dev else "no",
        eval_steps=settings.checkpoint_every,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        completion_only_loss=False,
        loss_type="dft" if loss.kind == "dft" else "nll",
        remove_unused_columns=False,
        dataloader_pin_memory=compute.device == "cuda",
        report_to="none",
        disable_tqdm=True,
        seed=settings.seed,
    )

    class Told(TrainerCallback):
        """Passes losses on, and marks a checkpoint once all of its files are there."""

        def on_log(
            self,
            args: TrainingArguments,  # noqa: ARG002
            state: TrainerState,
            control: TrainerControl,  # noqa: ARG002
            logs: dict[str, float] | None = None,
            **kwargs: Any,  # noqa: ARG002
        ) -> None:
            if logs and "loss" in logs:
                on_step(Step(state.global_step, float(logs["loss"]), float(logs.get("learning_rate", 0.0))))

        def on_step_end(
            self,
            args: TrainingArguments,  # noqa: ARG002
            state: TrainerState,
            control: TrainerControl,
            **kwargs: Any,  # noqa: ARG002
        ) -> None:
            if measured and state.global_step % measured.every == 0 and state.global_step < state.max_steps:
                with undisturbed(model):
                    control.should_training_stop |= measured.look(model, state.global_step)
                # A stop is remembered by its checkpoint, so that a run that is resumed stops here too.
                control.should_save |= control.should_training_stop

        def on_save(
            self,
            args: TrainingArguments,  # noqa: ARG002
            state: TrainerState,
            control: TrainerControl,  # noqa: ARG002
            **kwargs: Any,  # noqa: ARG002
        ) -> None:
            PartialState().wait_for_everyone()
            if state.is_world_process_zero:
                mark(checkpoints / f"checkpoint-{state.global_step}")

    def dataset(encoded: Sequence[Encoded]) -> Dataset:
        return Dataset.from_dict(
            {"input_ids": [row.input_ids for row in encoded], "labels": [row.labels for row in encoded]}
        )

    def rows_of(step: int) -> list[str]:
        each = settings.batch_size * settings.batches_in_a_step
        return [names[row] if names else f"row {row}" for row in order[(step - 1) * each : step * each]]

    # TRL rounds the adapter of a base in 4 bits to bfloat16, in which small steps are lost.
    exact = {parameter: parameter.data for parameter in trainable(model).values()}
    trainer = guarded(Objective(loss, kl, settings.steps(len(rows)), pad, rows_of, checkpoints))(
        model=model,
        args=arguments,
        train_dataset=dataset([*(rows[index] for index in order), *[FILLING] * settings.filling(len(order))]),
        eval_dataset=dataset(dev) if dev else None,
        processing_class=tokenizer,
        callbacks=[Told()],
        optimizers=(muon(model, settings) if settings.optimizer == "muon" else None, None),
    )
    for parameter, data in exact.items():
        parameter.data = data
    trainer.remove_callback(printer())
    found = newest(checkpoints)
    resumed = int(found.name.split("-")[1]) if found else 0
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    seconds = time.perf_counter() - started
    # Accelerate leaves the training precision wrapped around `forward`; what is evaluated must be the plain model.
    extract_model_from_parallel(model, keep_fp32_wrapper=False)
    if settings.activation_checkpointing:
        model.activation_checkpointing_disable()
    done = order[resumed * settings.batch_size * settings.batches_in_a_step :]
    if trainer.is_world_process_zero():
        write_json(checkpoints / "log.json", [finite(entry) for entry in trainer.state.log_history])
    return Trained(trainer.state.global_step, resumed, sum(len(rows[index].input_ids) for index in done), seconds)


def finite(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the trainer's log as JSON takes it: null for what is no number."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in entry.items()
    }


def printer() -> type:
    """The callback of transformers that prints every log line to stdout."""
    from transformers import PrinterCallback

    return PrinterCallback
