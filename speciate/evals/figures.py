"""From rows to figures: which answers pair, and what the pairs say. Pure functions; the statistics are elsewhere.

Pairs are of items, not of answers: where an item was answered several times, its score is the mean over its answers.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from speciate.errors import Incomparable
from speciate.evals import stats
from speciate.evals.intervals import ratio_bootstrap
from speciate.evals.rows import Rows
from speciate.evals.runner import IMPROPER
from speciate.records import ROLES, Drift, Estimate, FamilyScore, Forgetting, ItemDrift, Nats, Role, TextLoss, Trouble

SHOWN_ABOVE = 0.01
"""Share of rows without a proper answer above which a verdict says so."""
METRIC: dict[Role, str] = {"niche": "pass@1", "transfer": "pass@1", "general": "accuracy"}


@dataclass(frozen=True)
class Scored:
    """Items of one role with one model's mean score on each, in the order in which they were asked."""

    scores: Mapping[str, float]
    families: Mapping[str, str]
    clusters: Mapping[str, str]

    @cached_property
    def items(self) -> list[str]:
        """Digests."""
        return list(self.scores)


def scored(rows: Rows) -> dict[Role, Scored]:
    """The mean score of each item, in each role."""
    totals: dict[Role, dict[str, float]] = {role: {} for role in ROLES}
    families: dict[Role, dict[str, str]] = {role: {} for role in ROLES}
    clusters: dict[Role, dict[str, str]] = {role: {} for role in ROLES}
    several: Counter[tuple[Role, str]] = Counter()
    columns = (rows.column(name) for name in ("role", "item", "sample", "family", "cluster", "score"))
    for role, item, sample, family, cluster, score in zip(*columns, strict=True):
        known = totals[role]
        if sample or item in known:
            several[role, item] += 1
            known[item] = known.get(item, 0.0) + score
        else:
            known[item] = score
        families[role][item] = family
        clusters[role][item] = cluster
    for (role, item), more in several.items():
        totals[role][item] /= more + 1
    return {role: Scored(totals[role], families[role], clusters[role]) for role in ROLES}


@dataclass(frozen=True, slots=True)
class Paired:
    """The same items answered by a base and by one adapter or, trained from several seeds, by several."""

    items: Sequence[str]
    base: Sequence[float]
    adapters: Sequence[Sequence[float]]
    """For each seed the scores, in the order of the items."""
    families: Sequence[str]
    clusters: Sequence[str] | None

    def __bool__(self) -> bool:
        return bool(self.items)


def paired(base: Scored, adapters: Sequence[Scored], common: Collection[str] | None = None) -> Paired:
    """Base and adapters on the same items; on those in `common` where that is given.

    Raises Incomparable where they answered different items.
    """
    items = base.items if common is None else [item for item in base.items if item in common]
    wanted = set(items)
    for adapter in adapters:
        answered = set(adapter.items) if common is None else set(adapter.items) & set(common)
        if answered != wanted:
            raise Incomparable(
                f"{len(answered - wanted)} items were answered by the adapter alone, {len(wanted - answered)} by the "
                "base alone: they were measured on different items"
            )
    named = any(base.clusters[item] for item in items)
    return Paired(
        items,
        [base.scores[item] for item in items],
        [[adapter.scores[item] for item in items] for adapter in adapters],
        [base.families[item] for item in items],
        [base.clusters[item] or item for item in items] if named else None,
    )


def estimate(pairs: Paired, metric: str) -> Estimate:
    """The mean difference, adapter minus base."""
    return stats.paired_estimate(pairs.base, pairs.adapters, pairs.families, metric, clusters=pairs.clusters)


def lost(pairs: Paired, metric: str, nats: Nats | None) -> Forgetting:
    """The mean loss, base minus adapter."""
    return stats.forgetting(pairs.base, pairs.adapters, pairs.families, metric, clusters=pairs.clusters, nats=nats)


def families(
    pairs: Paired, chance: Mapping[str, float] | None = None, held_out: Collection[str] = ()
) -> list[FamilyScore]:
    """The scores in each family."""
    return stats.family_scores(pairs.base, pairs.adapters, pairs.families, held_out, chance or {}, pairs.clusters)


def nats_of(base: Sequence[TextLoss], adapters: Sequence[Sequence[TextLoss]]) -> Nats | None:
    """The rise of the loss on texts that both read, mean over the adapters; None where there are fewer than two."""
    if (
        len(base) < 2
        or not adapters
        or any([loss.text for loss in one] != [loss.text for loss in base] for one in adapters)
    ):
        return None
    tokens = [loss.tokens for loss in base]
    after = [sum(one[place].nats for one in adapters) / len(adapters) for place in range(len(base))]
    return stats.nats_difference(
        [loss.nats / count for loss, count in zip(base, tokens, strict=True)],
        [nats / count for nats, count in zip(after, tokens, strict=True)],
        tokens,
        size=sum(loss.bytes for loss in base),
    )


def drift_of(adapters: Sequence[Sequence[ItemDrift]]) -> list[Drift]:
    """The divergence per token in each role; where there are several adapters, over the items of all."""
    found: list[Drift] = []
    items = [one for adapter in adapters for one in adapter]
    for role in ROLES:
        units: dict[str, list[float]] = {}
        for one in items:
            if one.role == role:
                unit = units.setdefault(one.item, [0.0, 0.0, 0.0])
                unit[0] += one.forward
                unit[1] += one.reverse
                unit[2] += one.tokens
        tokens = [unit[2] for unit in units.values()]
        if len(units) < 2:
            continue
        directions = [[unit[side] for unit in units.values()] for side in (0, 1)]
        forward, reverse = ((sum(totals) / sum(tokens), ratio_bootstrap(totals, tokens)) for totals in directions)
        found.append(
            Drift(
                role=role,
                forward=forward[0],
                # A divergence is never below 0, which the bootstrap does not know.
                forward_ci95=(max(0.0, forward[1][0]), forward[1][1]),
                reverse=reverse[0],
                reverse_ci95=(max(0.0, reverse[1][0]), reverse[1][1]),
                tokens=round(sum(tokens) / max(1, len(adapters))),
                items=len(units),
            )
        )
    return found


def troubles(model: str, rows: Rows) -> list[Trouble]:
    """Rows without a proper answer, by reason, the commonest first."""
    counts = Counter(reason for reason in rows.column("reason") if reason in IMPROPER)
    return [Trouble(model=model, reason=reason, rows=count, n=len(rows)) for reason, count in counts.most_common()]


def doubts(found: Sequence[Trouble]) -> list[str]:
    """What a verdict says of rows without a proper answer, where a model has many of them."""
    models: dict[str, list[Trouble]] = {}
    for trouble in found:
        models.setdefault(trouble.model, []).append(trouble)
    said: list[str] = []
    for model, its in models.items():
        total, n = sum(trouble.rows for trouble in its), its[0].n
        if total > SHOWN_ABOVE * n:
            reasons = ", ".join(f"{trouble.rows:,} {trouble.reason}" for trouble in its)
            said.append(f"{total / n:.1%} of the answers of {model} are no proper answers ({reasons} of {n:,}).")
    return said
