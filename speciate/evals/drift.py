"""How far adapters are from their base in what they would say: loss on fixed texts, and KL divergence on items.

Forgetting follows the drift of the outputs (Shenfeld et al. 2025, arXiv 2509.04259): the divergence is measured over
what the base itself says to an item, token by token, in both directions.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from speciate.evals.memory import Memory
from speciate.evals.runner import Settings, ask
from speciate.evals.sources import Part
from speciate.models.population import BASE, Population
from speciate.models.sampler import document_ids
from speciate.models.scoring import divergences, losses
from speciate.niches.base import Item
from speciate.records import ROLES, ItemDrift, TextLoss
from speciate.storage import digest

DRIFT_ITEMS = 100
"""Items of each role on which divergence is measured, in equal parts of its families."""


def text_losses(
    population: Population, members: Sequence[str], texts: Sequence[str], memory: Memory, settings: Settings
) -> dict[str, list[TextLoss]]:
    """The loss of each member on each text. A text longer than the context is cut to it, and so are its bytes."""
    whole = [document_ids(population.tokenizer, text) for text in texts]
    encoded = [ids[: settings.context] for ids in whole]
    sizes = [round(len(text.encode()) * len(ids) / len(all_ids)) if all_ids else 0
             for text, ids, all_ids in zip(texts, encoded, whole, strict=True)]  # fmt: skip
    asked = [(member, ids) for member in members for ids in encoded]
    names = [memory.name(member, "loss", list(ids)) for member, ids in asked]
    found = [(float(kept["nats"]), int(kept["tokens"])) if (kept := memory.find(name)) else None for name in names]
    missing = [place for place, one in enumerate(found) if one is None]
    computed = losses(population, [asked[place] for place in missing], batch_size=settings.batch_size)
    memory.keep(
        [
            (names[place], {"nats": nats, "tokens": tokens})
            for place, (nats, tokens) in zip(missing, computed, strict=True)
            if nats == nats  # not NaN
        ]
    )
    for place, one in zip(missing, computed, strict=True):
        found[place] = one
    known = iter(one for one in found if one is not None)
    return {
        member: [
            TextLoss(text=digest(text.encode()), nats=nats, tokens=tokens, bytes=size)
            for text, size in zip(texts, sizes, strict=True)
            for nats, tokens in [next(known)]
        ]
        for member in members
    }


def item_drift(
    population: Population, members: Sequence[str], parts: Sequence[Part], memory: Memory, settings: Settings
) -> dict[str, list[ItemDrift]]:
    """The divergence of each adapter from the base on some items that are answered in words."""
    found: dict[str, list[ItemDrift]] = {member: [] for member in members}
    for role in ROLES:
        for part in thinned([part for part in parts if part.role == role and part.judge is not None]):
            said = ask(population, [BASE], part, memory, settings, lambda _: None)[BASE]
            spoken = [one for one in said if one.sample == 0 and one.spoken and one.end in ("stop", "unfinished")]
            asked = [(member, one.prompt, one.spoken) for member in members for one in spoken]
            names = [memory.name(name, "drift", memory.identities[BASE], list(p), list(a)) for name, p, a in asked]
            kept = [memory.find(name) for name in names]
            missing = [place for place, one in enumerate(kept) if one is None]
            computed = divergences(population, [asked[place] for place in missing], batch_size=settings.batch_size)
            for place, (forward, reverse) in zip(missing, computed, strict=True):
                kept[place] = {"forward": forward, "reverse": reverse}
            known = [(names[place], one) for place in missing if (one := kept[place]) is not None]
            memory.keep([(name, one) for name, one in known if math.isfinite(one["forward"] + one["reverse"])])
            both = zip(asked, [one for one in kept if one is not None], strict=True)
            for number, ((member, _, answer), one) in enumerate(both):
                item = spoken[number % len(spoken)].item.digest
                found[member].append(
                    ItemDrift(
                        item=item,
                        role=role,
                        forward=float(one["forward"]),
                        reverse=float(one["reverse"]),
                        tokens=len(answer),
                    )
                )
    return found


def thinned(parts: Sequence[Part]) -> list[Part]:
    """The parts with the first items of each family only, as many as make `DRIFT_ITEMS` in all."""
    families = {item.family for part in parts for item in part.items}
    each = max(1, DRIFT_ITEMS // max(1, len(families)))
    chosen: list[Part] = []
    for part in parts:
        counts: dict[str, int] = {}
        kept: list[Item] = []
        for item in part.items:
            counts[item.family] = counts.get(item.family, 0) + 1
            if counts[item.family] <= each:
                kept.append(item)
        chosen.append(replace(part, items=kept))
    return chosen
