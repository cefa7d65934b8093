"""Loading an adapter on its base and believing nothing: the base's bytes are those of the card, each tensor has its
place, and the base says something else with the adapter than without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speciate.errors import AdapterMismatch, InputError
from speciate.evals.intact import logits, whole
from speciate.models.adapter import AdapterSource, load_adapters
from speciate.models.base import BaseSource, Compute, find_compute, load_model, load_tokenizer
from speciate.models.population import BASE, Population
from speciate.pipeline.evaluation import PLAIN
from speciate.pipeline.machine import quiet_libraries
from speciate.pipeline.references import Meant, base_of, meant, unchecked
from speciate.progress import Progress, Quiet
from speciate.records import Card
from speciate.registry import store
from speciate.registry.entry import adapter_digest, config_of, weights_of

if TYPE_CHECKING:
    from peft import PeftModel

ONLY = "default"
"""The name of an adapter that is loaded alone, as PEFT has it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What adapters that fit their base were seen to do."""

    base: BaseSource
    changes: dict[str, float]
    """For each reference the largest change of a logit of the base on a few prompts."""
    notes: list[str]


def load_checked(reference: str, base: str | None = None) -> "tuple[PeftModel, Card]":
    """The adapter that is meant on its base, frozen and in evaluation mode, with its card.

    `base` says where the base lies, where it is not where the card says. Raises AdapterMismatch where the adapter does
    not belong to the base, or does nothing; NotFound, BaseNotFound.
    """
    quiet_libraries()
    _, card = sound(reference)
    [adapter] = _adapters([reference])
    population, _ = spoken(base_of([adapter], [], base), {ONLY: adapter.source})
    return population.model, card


def try_adapters(references: Sequence[str], base: str | None, progress: Progress | None = None) -> Tried:
    """Load the base of the adapters once with all of them. Raises AdapterMismatch for the first that does not fit."""
    quiet_libraries()
    adapters = _adapters(references)
    source = base_of(adapters, [], base)
    with (progress or Quiet()).phase(f"loading {source.name} with {len(adapters)} adapters"):
        _, changes = spoken(source, {f"a{number}": adapter.source for number, adapter in enumerate(adapters)})
    return Tried(source, dict(zip(references, changes.values(), strict=True)), unchecked(adapters, source))


def spoken(
    source: BaseSource, adapters: Mapping[str, AdapterSource], compute: Compute | None = None
) -> tuple[Population, dict[str, float]]:
    """The base with the adapters on it, and the largest change of a logit that each of them makes.

    Raises AdapterMismatch for an adapter that changes nothing, or makes numbers that are none.
    """
    tokenizer = load_tokenizer(source, chat=False)
    model = load_adapters(load_model(source, compute or find_compute()), adapters)
    population = Population(model, tokenizer, {name: name for name in adapters})
    batch = whole(tokenizer, PLAIN, population.model.device)
    with population.speaking([BASE] * len(batch)):
        off = logits(population.model, batch)
    changes: dict[str, float] = {}
    for name, adapter in adapters.items():
        with population.speaking([name] * len(batch)):
            on = logits(population.model, batch)
        if not on.isfinite().all():
            raise AdapterMismatch(f"with the adapter in {str(adapter.folder)!r} the base gives numbers that are none")
        changes[name] = float((on - off).abs().max())
        if not changes[name]:
            raise AdapterMismatch(
                f"the adapter in {str(adapter.folder)!r} loads but changes nothing: on {len(batch)} prompts its base "
                "gives the same logits, bit for bit"
            )
    return population, changes


def sound(reference: str) -> tuple[Path, Card]:
    """The entry that is meant, where its weights and configuration are those of its card.

    Raises NotFound, AdapterMismatch where they are not.
    """
    path, card = store.find(reference)
    digest = adapter_digest(weights_of(path), config_of(path))
    if digest != card.digest:
        raise AdapterMismatch(
            f"{str(path)!r} is damaged: its card is of the adapter {card.digest}, its files are {digest}"
        )
    return path, card


def _adapters(references: Sequence[str]) -> list[Meant]:
    adapters, bases = meant(references)
    if bases:
        raise InputError(f"{bases[0]!r} is a base, not an adapter")
    return adapters
