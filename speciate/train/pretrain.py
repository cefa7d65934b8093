"""Train a small causal LM from random weights on packed documents: one plain loop.

Hidden matrices are trained by Muon (Jordan et al. 2024), the rest by AdamW; the learning rate rises linearly, stays,
and falls linearly to zero over the last 60%. Every row is a function of its index, so a run that was stopped goes on
exactly where it was. Knows nothing of what the documents say, nor of evaluation.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from speciate.errors import TrainingDiverged
from speciate.storage import folder_published_whole, read_json, write_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Document = str | tuple[str, str]
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch_tokens: int
    """Tokens in one step, padding included."""
    context: int
    """Tokens in one row."""
    learning_rate: float
    warmup: float
    """Fraction of the steps in which the rate rises."""
    weight_decay: float
    checkpoint_every: int

    @property
    def rows(self) -> int:
        """Rows in one step."""
        return max(1, self.batch_tokens // self.context)

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rising, falling = max(1.0, self.warmup * self.steps), 0.6 * self.steps
        return self.learning_rate * min(1.0, (step + 1) / rising, (self.steps - step) / falling)


def packed_row(
    document: Callable[[int], Document], tokenizer: "PreTrainedTokenizerBase", row: int, context: int
) -> tuple[list[int], list[int]]:
    """Token ids and labels of one row of `context` tokens, filled with documents; the last one is cut.

    A chat counts in the loss by its answer and the token that ends it, a text by all of its tokens.
    """
    end = cast(int, tokenizer.eos_token_id)
    ids: list[int] = []
    labels: list[int] = []
    for number in range(context):
        if len(ids) >= context:
            break
        found = document(row * context + number)
        if isinstance(found, str):
            text = [*tokenizer.encode(found, add_special_tokens=False), end]
            ids += text
            labels += text
            continue
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": found[0]}], add_generation_prompt=True, tokenize=False
        )
        asked = tokenizer.encode(str(prompt), add_special_tokens=False)
        answer = [*tokenizer.encode(found[1], add_special_tokens=False), end]
        ids += asked + answer
        labels += [IGNORED] * len(asked) + answer
    return ids[:context], labels[:context]


def optimizers(model: "PreTrainedModel", schedule: Schedule) -> "list[torch.optim.Optimizer]":
    """Muon for the matrices between embedding and head, AdamW for all else."""
    import torch

    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed_tokens" not in name]
    chosen = {id(parameter) for parameter in hidden}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    return [
        torch.optim.Muon(hidden, lr=1.0, weight_decay=schedule.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def pretrain(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    document: Callable[[int], Document],
    schedule: Schedule,
    checkpoints: Path,
    on_step: Callable[[int, float], None],
) -> None:
    """Train `model` in place; goes on from `checkpoints` where it holds one. `on_step` gets the step and its loss.

    Raises TrainingDiverged where the loss is not finite.
    """
    import torch
    from torch.nn.functional import cross_entropy

    device = model.device
    bf16 = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    autocast: Any = torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()
    chosen = optimizers(model, schedule)
    model.train()
    for step in range(restore(model, chosen, checkpoints), schedule.steps):
        rows = [
            packed_row(document, tokenizer, step * schedule.rows + r, schedule.context) for r in range(schedule.rows)
        ]
        ids, labels = (torch.tensor([row[part] for row in rows], device=device) for part in (0, 1))
        with autocast:
            logits = model(input_ids=ids).logits
        loss = cross_entropy(logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(f"the loss is {value} at step {step}; lower train.learning_rate")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in chosen:
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            optimizer.step()
            optimizer.zero_grad()
        on_step(step, value)
        if (step + 1) % schedule.checkpoint_every == 0 or step + 1 == schedule.steps:
            save(model, chosen, checkpoints, step + 1)


def save(model: "PreTrainedModel", chosen: "list[torch.optim.Optimizer]", checkpoints: Path, step: int) -> None:
    """Write one checkpoint whole, then forget the older one."""
    import shutil

    import torch

    target = checkpoints / f"step-{step}"
    with folder_published_whole(target) as folder:
        state = {"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in chosen]}
        torch.save(state, folder / "state.pt")
        write_json(folder / "step.json", {"step": step})
    for other in checkpoints.glob("step-*"):
        if other != target:
            shutil.rmtree(other)


def restore(model: "PreTrainedModel", chosen: "list[torch.optim.Optimizer]", checkpoints: Path) -> int:
    """Load the newest checkpoint; returns the step to go on with, 0 where there is none."""
    import torch

    found = {int(read_json(path)["step"]): path.parent for path in checkpoints.glob("step-*/step.json")}
    if not found:
        return 0
    step = max(found)
    state = torch.load(found[step] / "state.pt", map_location=model.device, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(chosen, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return step
