"""`speciate compare`: runs and evaluations side by side, on the items that all of them answered.

Subjects that differ in their seed alone are one arm. What was measured on different items is refused, or narrowed to
the common ones where that is asked for. All figures come from the rows; no record's figures are trusted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from speciate.differing import leaves
from speciate.evals import figures, stats
from speciate.evals.figures import METRIC, Paired, paired
from speciate.evals.multiplicity import holm
from speciate.models.population import BASE
from speciate.pipeline.flips import flips_of
from speciate.pipeline.scores import samples_of, score_of, spreads_of
from speciate.pipeline.shared import Common, shared_items
from speciate.pipeline.subjects import Subject, subjects
from speciate.pipeline.words import words
from speciate.records import (
    ROLES,
    Arm,
    Comparison,
    Contrast,
    Estimate,
    Outcome,
    RecipeDifference,
    Role,
    RunRecord,
    Trouble,
)
from speciate.storage import canonical_json

WORST: tuple[Outcome, ...] = ("failed", "undecided", "passed")


def compare(references: Sequence[str], *, common: bool = False, each: bool = False) -> Comparison:
    """The comparison of runs and evaluations; `common` narrows it to the items that all answered, `each` keeps seeds
    apart.

    Raises NotFound, StorageError, InputError where one is named twice, and Incomparable where they answered different
    items.
    """
    found = subjects(references)
    items, left_out = shared_items(found, common)
    grouped: dict[str, list[Subject]] = {}
    for subject in found:
        arm = grouped.get(subject.way, [])
        # One adapter measured twice, or two runs of one seed, are no two seeds.
        new = all(subject.seed != other.seed and subject.adapter != other.adapter for other in arm)
        grouped.setdefault(subject.way if new and not each else subject.place, []).append(subject)
    groups = list(grouped.values())
    labels = labelled(groups)
    pairs = [pairs_of(group, items) for group in groups]
    arms = front([arm_of(label, group, its) for label, group, its in zip(labels, groups, pairs, strict=True)])
    compared = contrasts(labels, pairs)
    flips, total = flips_of(labels, groups, items)
    doubts = doubts_of(labels, groups)
    return Comparison(
        arms=arms,
        contrasts=compared,
        verdict=words(arms, compared, doubts),
        items={role: len(its) for role, its in items.items() if its},
        left_out=left_out,
        flips=flips,
        flips_total=total,
        recipe=recipe_differences(groups),
    )


def labelled(groups: Sequence[Sequence[Subject]]) -> list[str]:
    """A short name for each arm, with its number of seeds; where several are of one species, what tells them apart
    comes after it.
    """
    plain = [group[0].label if len(group) == 1 else group[0].species for group in groups]
    named: list[str] = []
    for label, group in zip(plain, groups, strict=True):
        seeds = [f"{len(group)} seeds"] if len(group) > 1 else []
        alike = [other for name, other in zip(plain, groups, strict=True) if name == label]
        apart = [told_apart(group, alike)] if len(alike) > 1 else []
        after = ", ".join([*seeds, *apart])
        named.append(f"{label} ({after})" if after else label)
    return named if len(set(named)) == len(named) else [f"{label} #{place}" for place, label in enumerate(named, 1)]


def told_apart(group: Sequence[Subject], alike: Sequence[Sequence[Subject]]) -> str:
    """What tells an arm from those of the same name: its seed, where they differ in nothing else, or its run."""
    first = group[0]
    if len(group) > 1:
        return f"first {first.name}"
    ways, seeds = {other[0].way for other in alike}, {other[0].seed for other in alike}
    return f"seed {first.seed}" if len(ways) == 1 and len(seeds) == len(alike) else first.name


def named_in(label: str, group: Sequence[Subject]) -> list[str]:
    """What to call each subject of an arm where something is said of it alone."""
    return [label] if len(group) == 1 else [subject.name for subject in group]


def pairs_of(group: Sequence[Subject], items: Common) -> dict[Role, Paired]:
    """The common items of each role, answered by base and adapters."""
    return {
        role: paired(group[0].base_scores[role], [subject.scores[role] for subject in group], items[role])
        for role in ROLES
    }


def arm_of(label: str, group: Sequence[Subject], pairs: Mapping[Role, Paired]) -> Arm:
    """One arm in figures."""
    first = group[0]
    record = first.record
    nats = figures.nats_of(first.base_texts, [subject.texts for subject in group]) if first.adapter else None
    measured = {role: bool(its) and bool(first.adapter) for role, its in pairs.items()}
    spreads = spreads_of(pairs) if first.adapter else None
    verdicts: list[Outcome] = [subject.verdict for subject in group if subject.verdict]
    held_out = set(pairs["transfer"].families)
    return Arm(
        label=label,
        species=first.species,
        runs=[subject.name for subject in group],
        seeds=[subject.seed for subject in group],
        base=dict(first.base),
        adapters=[subject.adapter for subject in group if subject.adapter],
        verdict=next((worst for worst in WORST if worst in verdicts), None),
        gates=next((subject.gates for worst in WORST for subject in group if subject.verdict == worst), []),
        scores=[]
        if first.adapter
        else [score_of(its, role, samples_of(first.rows, role)) for role, its in pairs.items() if its],
        gain=figures.estimate(pairs["niche"], METRIC["niche"]) if measured["niche"] else None,
        transfer=figures.estimate(pairs["transfer"], METRIC["transfer"]) if measured["transfer"] else None,
        forgetting=figures.lost(pairs["general"], METRIC["general"], nats) if measured["general"] else None,
        families=[
            *figures.families(pairs["niche"], first.chance),
            *figures.families(pairs["transfer"], first.chance, held_out),
        ],
        general=figures.families(pairs["general"], first.chance),
        drift=figures.drift_of([subject.drift for subject in group]),
        spread=spreads[:2] if spreads else None,
        spread_change=spreads[2] if spreads else None,
        hammer=record.hammer if isinstance(record, RunRecord) else None,
        intact=record.intact if isinstance(record, RunRecord) else None,
        troubles=[
            trouble
            for name, subject in zip(named_in(label, group), group, strict=True)
            for trouble in figures.troubles(name, subject.rows)
        ]
        + (figures.troubles(BASE, first.base_rows) if first.adapter else []),
        contamination=record.contamination if record else None,
        chosen=record.chosen if isinstance(record, RunRecord) else {},
        curve=first.curve,
        cost=means([subject.cost for subject in group]),
        provenance=dict(first.provenance),
    )


def means(costs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each quantity that all have."""
    names = [name for name in costs[0] if all(name in cost for cost in costs)]
    return {name: sum(cost[name] for cost in costs) / len(costs) for name in names}


def front(arms: list[Arm]) -> list[Arm]:
    """The arms, with those marked that no other beats in gain and in forgetting."""
    places = [(arm.gain.delta, -arm.forgetting.delta) if arm.gain and arm.forgetting else None for arm in arms]
    marked: list[Arm] = []
    for arm, place in zip(arms, places, strict=True):
        beaten = place is not None and any(
            other is not None and other != place and other[0] >= place[0] and other[1] >= place[1] for other in places
        )
        marked.append(arm.model_copy(update={"on_front": None if place is None else not beaten}))
    return marked


def contrasts(labels: Sequence[str], pairs: Sequence[Mapping[Role, Paired]]) -> list[Contrast]:
    """The first arm against each other one, in each role, their p-values adjusted together."""
    found: list[Contrast] = []
    for label, its in zip(labels[1:], pairs[1:], strict=True):
        for role in ROLES:
            before, after = pairs[0][role], its[role]
            if not before:
                continue
            estimate = between(before, after, METRIC[role])
            found.append(Contrast(first=labels[0], second=label, role=role, estimate=estimate, p_holm=None))
    tested = [place for place, one in enumerate(found) if one.estimate.p_mcnemar is not None]
    adjusted = holm([p for place in tested if (p := found[place].estimate.p_mcnemar) is not None])
    for place, p in zip(tested, adjusted, strict=True):
        found[place] = found[place].model_copy(update={"p_holm": p})
    return found


def between(first: Paired, second: Paired, metric: str) -> Estimate:
    """The second arm minus the first, on the items of both.

    Arms of several seeds are paired seed by seed, as many as both have; against an arm of one seed stands the mean over
    the other's. Then the luck of the seed is not in the interval, and there is no p-value: to be right with all seeds
    is harder than with one.
    """
    places = {item: place for place, item in enumerate(second.items)}
    befores, afters = first.adapters, [[scores[places[item]] for item in first.items] for scores in second.adapters]
    seeds = min(len(befores), len(afters))
    averaged = seeds == 1 and len(befores) != len(afters)
    if averaged:
        befores, afters = [mean_of(befores)], [mean_of(afters)]
    found = stats.estimate_between(befores[:seeds], afters[:seeds], first.families, metric, clusters=first.clusters)
    return found.model_copy(update={"p_mcnemar": None}) if averaged else found


def mean_of(scores: Sequence[Sequence[float]]) -> list[float]:
    """The mean score of each item over the seeds."""
    return [sum(its) / len(its) for its in zip(*scores, strict=True)]


def doubts_of(labels: Sequence[str], groups: Sequence[Sequence[Subject]]) -> list[str]:
    """What casts doubt on the arms: answers that are none, of each adapter and, once, of each base."""
    bases: dict[str, list[Trouble]] = {}
    adapters: list[Trouble] = []
    for label, group in zip(labels, groups, strict=True):
        for name, subject in zip(named_in(label, group), group, strict=True):
            adapters += figures.troubles(name, subject.rows)
            if subject.adapter:
                known = str(subject.base.get("digest"))
                bases.setdefault(known, figures.troubles(f"the base of {label}", subject.base_rows))
    own = [trouble for its in bases.values() for trouble in its]
    if len(bases) == 1:
        own = [trouble.model_copy(update={"model": "the base"}) for trouble in own]
    return figures.doubts([*adapters, *own])


def recipe_differences(groups: Sequence[Sequence[Subject]]) -> list[RecipeDifference]:
    """The keys on which the arms' recipes differ."""
    recipes: list[dict[str, Any]] = [dict(leaves(group[0].recipe)) if group[0].recipe else {} for group in groups]
    if sum(map(bool, recipes)) < 2:
        return []
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    found: list[RecipeDifference] = []
    for key in keys:
        values = [canonical_json(recipe[key]).decode() if key in recipe else "" for recipe in recipes]
        if len(set(values)) > 1 and not (key == "seed" and any(len(group) > 1 for group in groups)):
            found.append(RecipeDifference(key=key, values=values))
    return found
