"""Models measured on a suite's questions: the one way in which rows come about, in a run and in an evaluation.

What is there already is not measured again, and what a model said before is recalled: to go on after a stop is to start
again.
"""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speciate import storage
from speciate.evals import rows as rows_on_disk
from speciate.evals.drift import item_drift, text_losses
from speciate.evals.memory import Memory
from speciate.evals.runner import Settings, evaluate
from speciate.evals.sources import Part
from speciate.models.base import BaseSource, Compute
from speciate.models.population import BASE, Population
from speciate.progress import Progress
from speciate.records import EvalRow
from speciate.remembered import Remembered


@dataclass(frozen=True, slots=True)
class Measured:
    """What one call of `measure` did."""

    answers: int
    recalled: int
    """Of the answers, those that had been given before."""
    tokens: int
    """Tokens of prompts and answers that went through the models."""


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
    parts: Sequence[Part],
    texts: Sequence[str],
    memory: Memory,
    settings: Settings,
    folder: Path,
    progress: Progress,
    doing: str,
) -> Measured:
    """Rows, losses and divergence of the members, written to `folder`; members that are there are left as they are."""
    missing = [member for member in members if not (folder / f"{member}-drift.json").exists()]
    if not missing:
        return Measured(0, 0, 0)
    rows: dict[str, list[EvalRow]] = {member: [] for member in missing}
    answers = len(missing) * sum(len(part.items) * part.sampling.samples for part in parts)
    with progress.phase(doing, 2 * answers) as phase:
        for part in parts:
            for member, found in evaluate(population, missing, part, memory, settings, phase.advance).items():
                rows[member] += found
    recalled = memory.recalled
    adapters = [member for member in missing if member != BASE]
    with progress.phase(f"{doing}: losses and drift"):
        losses = text_losses(population, missing, texts, memory, settings)
        drift = item_drift(population, adapters, parts, memory, settings) if adapters else {}
    for member in missing:
        rows_on_disk.write_rows(folder, member, rows_on_disk.table_of(rows[member]))
        rows_on_disk.write_texts(folder, member, losses[member])
        rows_on_disk.write_drift(folder, member, drift.get(member, []))
    prompts = population.tokenizer([row.prompt for found in rows.values() for row in found])["input_ids"]
    spoken = sum(row.tokens for found in rows.values() for row in found)
    return Measured(answers, recalled, spoken + sum(map(len, prompts)))
