"""One stage of a training: supervised, in this process or in several, with an eye on memory before and after."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from speciate.models.adapter import trainable, weights_digest
from speciate.models.device import free_memory
from speciate.models.shape import LoraShape
from speciate.models.skeleton import Sizes, sizes
from speciate.pipeline.folder import RunFolder
from speciate.pipeline.setting import Setting, sft_of, token_loss_of
from speciate.progress import Progress
from speciate.recipe import Recipe
from speciate.recipe.lora import FROM_GENERAL_ROWS, FROM_NICHE_ROWS
from speciate.storage import write_json
from speciate.train.divergence import KlGuard
from speciate.train.encoding import Encoded
from speciate.train.footprint import Work
from speciate.train.job import Job
from speciate.train.launch import train_in_processes
from speciate.train.memory import Room, memory_must_hold
from speciate.train.sft import Measured, Step, preflight
from speciate.train.sft import train as train_alone

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

WHOLE_LOGITS = ("entropy", "mask-target")
"""Losses that read the logits of all words."""


@dataclass(frozen=True)
class Material:
    """What a training reads, as tokens."""

    rows: Sequence[Encoded]
    """All that are trained on."""
    niche: Sequence[Encoded]
    replay: Sequence[Encoded]
    dev: Sequence[Encoded]
    names: Sequence[str]
    """Of `rows`, for messages."""
    general: Sequence[Encoded] = ()
    """Of general skills, read and not trained on."""


@dataclass(frozen=True)
class Stage:
    """Supervised training in the folder of a run."""

    setting: Setting
    folder: RunFolder
    progress: Progress

    def run(
        self,
        model: "PeftModel",
        tokenizer: "PreTrainedTokenizerBase",
        material: Material,
        guard: KlGuard | None,
        look: Measured | None,
    ) -> int:
        """Train the adapter in place, the longest batch first tried; the steps that were done in all.

        Raises LongestBatchFailed, TrainingDiverged, TrainingOutOfMemory, WorkerFailed.
        """
        settings, compute = sft_of(self.recipe), self.setting.compute
        checkpoints = self.folder.path / "checkpoints"
        room = self._room(model, material)
        if room.warning:
            self.progress.say(f"warning: {room.warning}")
        total = settings.steps(len(material.rows))
        with self.folder.timed("train"), self.progress.phase("training", total) as phase:
            reached = 0

            def told(step: Step) -> None:
                nonlocal reached
                phase.advance(step.step - reached)
                phase.note(f"loss {step.loss:.3f}")
                reached = step.step

            with memory_must_hold(room, checkpoints):
                if settings.processes > 1:
                    job = self._job(model, material, guard)
                    trained = train_in_processes(model, job, self.folder.path / "workers", checkpoints, told)
                else:
                    preflight(model, material.rows, settings, cast(int, tokenizer.pad_token_id), compute)
                    loss = token_loss_of(self.recipe)
                    given = (material.rows, material.dev, settings, compute, checkpoints, told, guard, look, loss)
                    trained = train_alone(model, tokenizer, *given, material.names)
        if trained.steps > trained.resumed_from:
            write_json(self.folder.path / "speed.json", {"tokens_per_second": trained.tokens / trained.seconds})
        return trained.steps

    @property
    def recipe(self) -> Recipe:
        """What is asked for."""
        return self.setting.loaded.recipe

    def _room(self, model: "PeftModel", material: Material) -> Room:
        trained = sum(parameter.numel() for parameter in trainable(model).values())
        base = replace(sizes(self.setting.source, shape_of(self.recipe)), trainable=trained)
        return room_of(self.setting, base, max(len(row.input_ids) for row in material.rows))

    def _job(self, model: "PeftModel", material: Material, guard: KlGuard | None) -> Job:
        init = self.recipe.train.lora.init
        looked_at = material.niche if init in FROM_NICHE_ROWS else material.general if init in FROM_GENERAL_ROWS else ()
        return Job(
            source=self.setting.source,
            compute=self.setting.compute,
            quantization=self.recipe.base.quantization,
            shape=shape_of(self.recipe),
            settings=sft_of(self.recipe),
            hardware=self.recipe.hardware,
            fresh=weights_digest(model),
            rows=material.rows,
            dev=material.dev,
            kl=guard,
            loss=token_loss_of(self.recipe),
            names=tuple(material.names),
            looked_at=looked_at,
        )


def shape_of(recipe: Recipe) -> LoraShape:
    """The recipe's adapter."""
    return LoraShape(**dict(recipe.train.lora))


def room_of(setting: Setting, base: Sizes, longest: int) -> Room:
    """What the recipe's training takes on each device, against what is there."""
    recipe = setting.loaded.recipe
    there = free_memory(setting.compute.device)
    # GPUs have memory of their own; processes on one CPU share it.
    shared = recipe.hardware.processes if setting.compute.device != "cuda" else 1
    work = Work(
        base=base,
        settings=sft_of(recipe),
        compute=setting.compute,
        hardware=recipe.hardware,
        quantization=recipe.base.quantization,
        rank=recipe.train.lora.r,
        longest=longest,
        held=recipe.guard.kl.rows if recipe.guard.kl else 0,
        whole_logits=recipe.guard.loss.kind in WHOLE_LOGITS,
    )
    return Room(work, there // shared if there is not None else None)
