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
from speciate.recipe.guard import WHOLE_LOGITS
from speciate.recipe.lora import FROM_GENERAL_ROWS, FROM_NICHE_ROWS, Lora
from speciate.storage import read_json, write_json
from speciate.train.divergence import KlGuard
from speciate.train.encoding import Encoded
from speciate.train.footprint import Work
from speciate.train.job import Job
from speciate.train.launch import train_in_processes
from speciate.train.memory import Room, memory_must_hold
from speciate.train.preflight import preflight
from speciate.train.sft import Measured, Sft, Step
from speciate.train.sft import train as train_alone

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

SPEED = "speed.json"
"""Tokens and seconds of all stages."""


@dataclass(frozen=True)
class Material:
    """What a training reads, as tokens."""

    niche: Sequence[Encoded]
    replay: Sequence[Encoded]
    dev: Sequence[Encoded]
    names: Sequence[str]
    """Of the rows of the niche, then of those of replay, for messages."""
    general: Sequence[Encoded] = ()
    """Of general skills, read and not trained on."""
    texts: Sequence[Encoded] = ()
    """What the base says by itself."""

    def looked_at(self, lora: Lora) -> list[Encoded]:
        """The general rows that an adapter begins from."""
        if lora.init not in FROM_GENERAL_ROWS:
            return []
        return [*self.general[: lora.init_rows], *self.texts[: lora.init_texts]]

    def rows(self, which: str) -> tuple[list[Encoded], list[str]]:
        """The rows that a stage trains on, as its recipe names them, and their names."""
        both = [*self.niche, *self.replay]
        first, last = (len(self.niche) if which == "general" else 0), (len(self.niche) if which == "niche" else None)
        return both[first:last], list(self.names[first:last])


@dataclass(frozen=True)
class Stage:
    """Supervised training in the folder of a run."""

    setting: Setting
    folder: RunFolder
    progress: Progress
    number: int = 0
    """Among the stages of its recipe, the first being 0."""

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
        settings, compute = self.settings, self.setting.compute
        rows, names = material.rows(self.recipe.train[self.number].rows)
        checkpoints = self.folder.path / ("checkpoints" if self.number == 0 else f"checkpoints-{self.number + 1}")
        room = self._room(model, rows)
        if room.warning:
            self.progress.say(f"warning: {room.warning}")
        total = settings.steps(len(rows))
        stages = len(self.recipe.train)
        doing = "training" if stages == 1 else f"training, stage {self.number + 1} of {stages}"
        with self.folder.timed("train"), self.progress.phase(doing, total) as phase:
            reached = 0

            def told(step: Step) -> None:
                nonlocal reached
                phase.advance(step.step - reached)
                phase.note(f"loss {step.loss:.3f}")
                reached = step.step

            with memory_must_hold(room, checkpoints):
                if settings.processes > 1:
                    job = self._job(model, material, rows, names, guard)
                    trained = train_in_processes(model, job, self.folder.path / "workers", checkpoints, told)
                else:
                    loss = token_loss_of(self.recipe)
                    preflight(model, rows, settings, cast(int, tokenizer.pad_token_id), compute, guard, loss)
                    given = (rows, material.dev, settings, compute, checkpoints, told, guard, look, loss)
                    trained = train_alone(model, tokenizer, *given, names)
        if trained.steps > trained.resumed_from:
            self._measured(trained.tokens, trained.seconds)
        return trained.steps

    @property
    def recipe(self) -> Recipe:
        """What is asked for."""
        return self.setting.loaded.recipe

    @property
    def settings(self) -> Sft:
        """As the trainer takes them."""
        return sft_of(self.recipe, self.number)

    def _measured(self, tokens: int, seconds: float) -> None:
        """Add to what all stages of this run have trained in what time."""
        path = self.folder.path / SPEED
        before: dict[str, float] = read_json(path) if path.exists() else {"tokens": 0, "seconds": 0.0}
        write_json(path, {"tokens": before["tokens"] + tokens, "seconds": before["seconds"] + seconds})

    def _room(self, model: "PeftModel", rows: Sequence[Encoded]) -> Room:
        trained = sum(parameter.numel() for parameter in trainable(model).values())
        base = replace(sizes(self.setting.source, shape_of(self.recipe)), trainable=trained)
        return room_of(self.setting, base, max(len(row.input_ids) for row in rows))

    def _job(
        self,
        model: "PeftModel",
        material: Material,
        rows: Sequence[Encoded],
        names: Sequence[str],
        guard: KlGuard | None,
    ) -> Job:
        return Job(
            source=self.setting.source,
            compute=self.setting.compute,
            quantization=self.recipe.base.quantization,
            shape=shape_of(self.recipe),
            settings=self.settings,
            hardware=self.recipe.hardware,
            fresh=weights_digest(model),
            rows=rows,
            dev=material.dev,
            kl=guard,
            loss=token_loss_of(self.recipe),
            names=tuple(names),
            niche=material.niche if self.recipe.lora.init in FROM_NICHE_ROWS else (),
            general=material.looked_at(self.recipe.lora),
        )


def shape_of(recipe: Recipe) -> LoraShape:
    """The recipe's adapter."""
    return LoraShape(**dict(recipe.lora))


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
        rank=recipe.lora.r,
        longest=longest,
        held=recipe.guard.kl.rows if recipe.guard.kl else 0,
        whole_logits=recipe.guard.loss.kind in WHOLE_LOGITS,
    )
    return Room(work, there // shared if there is not None else None)
