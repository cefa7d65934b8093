"""Room for a training: a warning before it starts, and an error that says what to change where memory runs out."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from speciate.errors import SpeciateError, TrainingOutOfMemory
from speciate.models.device import peak_memory
from speciate.train.checkpoints import newest
from speciate.train.footprint import Footprint, Work, footprint, gib


@dataclass(frozen=True, slots=True)
class Room:
    """What a training takes on each device, against what is there."""

    work: Work
    there: int | None
    """Bytes that it may take; None where nobody tells."""

    @property
    def estimate(self) -> Footprint | None:
        """None where the adapter's size is not known before the base is loaded."""
        return footprint(self.work)

    @property
    def warning(self) -> str | None:
        """What to say before the start where the estimate is above what is there."""
        estimate = self.estimate
        if estimate is None or self.there is None or estimate.total <= self.there:
            return None
        return (
            f"training takes about {estimate.words()}, and {gib(self.there)} are there on each "
            f"{self.work.compute.device} process: {self.advice()}"
        )

    def advice(self) -> str:
        """Which keys to change, the ones that save most first."""
        work, estimate = self.work, self.estimate
        settings, hardware = work.settings, work.hardware
        of_step: list[str] = []
        if not settings.activation_checkpointing:
            of_step.append("hardware.activation_checkpointing=true")
        if settings.batch_size > 1:
            half, twice = max(1, settings.batch_size // 2), settings.gradient_accumulation * 2
            of_step.append(f"train.batch_size={half} with train.gradient_accumulation={twice}")
        if work.held > 1:
            of_step.append(f"guard.kl.rows={work.held // 2}")
        of_weights: list[str] = []
        if work.quantization == "none" and hardware.sharding == "none":
            of_weights.append("base.quantization=nf4")
        if work.compute.weights == "float32" and work.compute.device == "cuda":
            of_weights.append("base.dtype=bfloat16")
        if hardware.processes > 1 and hardware.sharding == "none":
            of_weights.append("hardware.sharding=fsdp")
        of_adapter = [f"train.lora.r={work.rank // 2}"] if work.rank > 1 else []
        groups = (
            [(estimate.step, of_step), (estimate.weights, of_weights), (estimate.trained, of_adapter)]
            if estimate
            else []
        )
        ordered = [key for _, keys in sorted(groups, key=lambda group: -group[0]) for key in keys]
        return f"set {', or '.join(ordered or of_step or of_adapter)}" if ordered or of_step else "take a smaller base"


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, which libraries do in several ways."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and ("can't allocate" in str(error) or "out of memory" in str(error))


@contextlib.contextmanager
def memory_must_hold(room: Room, checkpoints: Path) -> Generator[None]:
    """Name what ran out in the block. Raises TrainingOutOfMemory."""
    try:
        yield
    except Exception as error:
        if isinstance(error, SpeciateError) or not ran_out(error):
            raise
        estimate, peak = room.estimate, peak_memory(room.work.compute.device)
        kept = newest(checkpoints)
        facts = [
            f"about {estimate.words()} were expected" if estimate else "how much it takes was not known",
            *([f"{gib(peak)} were reached"] if peak else []),
            *([f"{gib(room.there)} were there"] if room.there else []),
        ]
        way = (
            f"The last checkpoint is whole: {str(kept)!r}; --resume goes on from it, with "
            "hardware.activation_checkpointing changed too if you like; another batch size begins a new run"
            if kept
            else "There is no checkpoint yet"
        )
        raise TrainingOutOfMemory(
            f"memory ran out in training on {room.work.compute.device}: {', '.join(facts)}. To take less, "
            f"{room.advice()}. {way}"
        ) from error
