"""Supervised fine-tuning of an adapter by TRL's SFTTrainer, on rows that are encoded already.

Everything random is fixed before the first step (the order of the rows, the adapter's initial weights), and a
checkpoint counts only once a mark with the digests of its files lies beside it, so that a run that was killed at any
step goes on to the same bytes. Knows nothing of niches, evaluation or the registry.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from speciate.errors import LongestBatchFailed, NothingTrainable, TrainingDiverged
from speciate.models.adapter import trainable
from speciate.models.base import Compute
from speciate.storage import write_json
from speciate.train.checkpoints import mark, newest
from speciate.train.divergence import KlGuard
from speciate.train.encoding import Encoded, training_order
from speciate.train.objective import guarded

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

    def order(self, rows: Sequence[Encoded]) -> list[int]:
        """The rows of the whole run, in order."""
        return training_order([len(row.input_ids) for row in rows], self.batch_size, self.epochs, self.seed)

    def steps(self, rows: int) -> int:
        """Optimizer steps for `rows` rows, all epochs included."""
        batches = math.ceil(max(1, round(rows * self.epochs)) / self.batch_size)
        return math.ceil(batches / self.gradient_accumulation)


@dataclass(frozen=True, slots=True)
class Step:
    """What is known after one step."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What training did."""

    steps: int
    resumed_from: int
    tokens: int
    """Tokens of the rows trained on in this process, padding excluded."""
    seconds: float


def preflight(model: "PeftModel", rows: Sequence[Encoded], settings: Sft, pad: int, compute: Compute) -> None:
    """Check that something is trainable, and that the longest batch fits, before the first step.

    Raises NothingTrainable, LongestBatchFailed.
    """
    import torch

    if not trainable(model):
        raise NothingTrainable("no parameter of the adapter requires a gradient: train.lora.targets matches nothing")
    longest = sorted(rows, key=lambda row: len(row.input_ids), reverse=True)[: settings.batch_size]
    width = len(longest[0].input_ids)
    ids = torch.tensor([row.input_ids + [pad] * (width - len(row.input_ids)) for row in longest], device=model.device)
    labels = torch.tensor([row.labels + [-100] * (width - len(row.labels)) for row in longest], device=model.device)
    state = torch.get_rng_state()
    try:
        model.train()
        with autocast(compute):
            loss = model(input_ids=ids, attention_mask=(ids != pad).long(), labels=labels).loss
        loss.backward()
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate" not in str(error):
            raise
        raise LongestBatchFailed(
            f"the longest batch ({len(longest)} rows of {width} tokens) does not fit in the memory of "
            f"{compute.device}: set train.batch_size={max(1, settings.batch_size // 2)} "
            f"train.gradient_accumulation={settings.gradient_accumulation * 2}"
        ) from error
    finally:
        model.zero_grad(set_to_none=True)
        torch.set_rng_state(state)


def muon(model: "PeftModel", settings: Sft) -> "torch.optim.Optimizer":
    """Muon (Jordan et al. 2024) on the adapter's matrices, its steps as large as AdamW's (Liu et al. 2025)."""
    from speciate.train.muon import StackedMuon

    matrices = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return StackedMuon(matrices, lr=settings.learning_rate, weight_decay=settings.weight_decay)


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
) -> Trained:
    """Train the adapter in place; goes on from the newest whole checkpoint in `checkpoints`, where there is one.

    The loss on `dev` is told with every checkpoint in the trainer's log. Raises TrainingDiverged.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from accelerate.utils.other import extract_model_from_parallel
    from datasets import Dataset, disable_progress_bars
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from trl.trainer.sft_config import SFTConfig

    disable_progress_bars()
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
        gradient_checkpointing=False,
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
                loss = float(logs["loss"])
                if not math.isfinite(loss):
                    raise TrainingDiverged(f"the loss is {loss} at step {state.global_step}: lower train.learning_rate")
                on_step(Step(state.global_step, loss, float(logs.get("learning_rate", 0.0))))

        def on_save(
            self,
            args: TrainingArguments,  # noqa: ARG002
            state: TrainerState,
            control: TrainerControl,  # noqa: ARG002
            **kwargs: Any,  # noqa: ARG002
        ) -> None:
            mark(checkpoints / f"checkpoint-{state.global_step}")

    def dataset(encoded: Sequence[Encoded]) -> Dataset:
        return Dataset.from_dict(
            {"input_ids": [row.input_ids for row in encoded], "labels": [row.labels for row in encoded]}
        )

    pad = cast(int, tokenizer.pad_token_id)
    trainer = guarded(settings.steps(len(rows)), settings.gradient_accumulation, pad, kl)(
        model=model,
        args=arguments,
        train_dataset=dataset([rows[index] for index in order]),
        eval_dataset=dataset(dev) if dev else None,
        processing_class=tokenizer,
        callbacks=[Told()],
        optimizers=(muon(model, settings) if settings.optimizer == "muon" else None, None),
    )
    trainer.remove_callback(printer())
    found = newest(checkpoints)
    resumed = int(found.name.split("-")[1]) if found else 0
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    seconds = time.perf_counter() - started
    # Accelerate leaves the training precision wrapped around `forward`; what is evaluated must be the plain model.
    extract_model_from_parallel(model, keep_fp32_wrapper=False)
    done = order[resumed * settings.batch_size * settings.gradient_accumulation :]
    write_json(checkpoints / "log.json", trainer.state.log_history)
    return Trained(trainer.state.global_step, resumed, sum(len(rows[index].input_ids) for index in done), seconds)


def printer() -> type:
    """The callback of transformers that prints every log line to stdout."""
    from transformers import PrinterCallback

    return PrinterCallback
