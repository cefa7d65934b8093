"""Models measured on a suite's questions: the one way in which rows come about, in a run and in an evaluation.

What is there already is not measured again, and what a model said before is recalled: to go on after a stop is to start
again.
"""

import contextlib
import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speciate import storage
from speciate.evals import rows as rows_on_disk
from speciate.evals.drift import item_drift, text_losses
from speciate.evals.memory import Memory
from speciate.evals.runner import Settings, evaluate
from speciate.evals.sources import Questions
from speciate.models.base import BaseSource, Compute
from speciate.models.population import BASE, Population
from speciate.progress import Progress
from speciate.records import EvalRow
from speciate.remembered import Remembered

if TYPE_CHECKING:
    from speciate.evals.harness_tasks import Tasks


@dataclass(frozen=True, slots=True)
class Measured:
    """What one call of `measure` did."""

    answers: int
    recalled: int
    """Of the answers, those that had been given before."""
    tokens: int
    """Of the prompts and answers that were not recalled."""
    seconds: float


@contextlib.contextmanager
def memory_of(identities: Mapping[str, str]) -> Generator[Memory]:
    """The answers kept on this machine, for members with these identities."""
    kept = Remembered(storage.home() / "cache" / "answers.sqlite")
    try:
        yield Memory(identities, kept)
    finally:
        kept.close()


def base_identity(source: BaseSource, compute: Compute, quantization: str) -> str:
    """What a base's answers follow from: its bytes, its number formats, the device, the libraries that compute."""
    from importlib import metadata

    versions = [metadata.version(name) for name in ("torch", "transformers", "peft")]
    return storage.digest_json([source.digest, compute.device, compute.weights, quantization, *versions])


def adapter_identity(base: str, adapter: str) -> str:
    """The same for an adapter with this digest."""
    return storage.digest_json([base, adapter])


def measure(
    population: Population,
    members: Sequence[str],
    asked: Questions,
    memory: Memory,
    settings: Settings,
    folder: Path,
    progress: Progress,
    doing: str,
    tasks: Sequence["Tasks"] = (),
    *,
    drift: bool = True,
) -> Measured:
    """Rows, losses and divergence of the members, written to `folder`; members that are there are left as they are.

    Without `drift` no divergence is measured. `tasks` are those of the harness that the suite asks, with their data.
    """
    missing = [member for member in members if not (folder / f"{member}-drift.json").exists()]
    if not missing:
        return Measured(0, 0, 0, 0.0)
    began = time.monotonic()
    rows: dict[str, list[EvalRow]] = {member: [] for member in missing}
    total = len(missing) * sum(len(part.items) * part.sampling.samples for part in asked.parts)
    if asked.parts:
        with progress.phase(doing, 2 * total) as phase:
            for part in asked.parts:
                for member, found in evaluate(population, missing, part, memory, settings, phase.advance).items():
                    rows[member] += found
    for one in tasks:
        from speciate.evals.harness import harness_rows

        with progress.phase(f"{doing}: {', '.join(one.source.tasks)}", 2 * len(missing) * one.items) as phase:
            answered = harness_rows(population, missing, one, memory, settings, on_items=phase.advance)
        for member, found in answered.items():
            rows[member] += found
    recalled, tokens = memory.recalled, memory.tokens
    adapters = [member for member in missing if member != BASE]
    more = asked.texts or (adapters and drift)
    with progress.phase(f"{doing}: losses and drift") if more else contextlib.nullcontext():
        losses = text_losses(population, missing, asked.texts, memory, settings)
        moves = item_drift(population, adapters, asked.parts, memory, settings) if adapters and drift else {}
    for member in missing:
        rows_on_disk.write_rows(folder, member, rows_on_disk.table_of(rows[member]))
        # Where logits are no numbers there is no loss and no divergence to tell of; its rows say so.
        sound = [loss for loss in losses[member] if math.isfinite(loss.nats)]
        moved = [one for one in moves.get(member, []) if math.isfinite(one.forward) and math.isfinite(one.reverse)]
        rows_on_disk.write_texts(folder, member, sound if len(sound) == len(losses[member]) else [])
        rows_on_disk.write_drift(folder, member, moved)
    answers = sum(map(len, rows.values()))
    # An item of the harness may ask several questions, each of which is recalled by itself.
    return Measured(answers, min(recalled, answers), tokens, time.monotonic() - began)
