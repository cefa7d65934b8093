"""The record of an evaluation: figures of each model from the rows that were measured."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speciate.evals import figures, stats
from speciate.evals.figures import METRIC, Paired, paired, scored
from speciate.evals.rows import Rows, file_digests, read_drift, read_rows, read_texts
from speciate.evals.sampling import pass_at_k_interval
from speciate.evals.sources import Questions
from speciate.evals.spread import spread, spread_difference
from speciate.models.base import BaseSource, Compute
from speciate.models.population import BASE
from speciate.pipeline.references import Meant
from speciate.records import (
    ROLES,
    Contamination,
    EvalRecord,
    ModelScores,
    PassAtK,
    Role,
    Score,
    Spread,
    Trouble,
)

FEWEST_FAMILIES = 5
"""With fewer families a spread between them says nothing."""


def record(
    folder: Path,
    asked: Questions,
    source: BaseSource,
    compute: Compute,
    adapters: Mapping[str, Meant],
    contamination: Mapping[str, Contamination],
) -> EvalRecord:
    """What was measured in a folder, in figures; how long it took is for the caller to say."""
    rows = {name: read_rows(folder / "evals", name) for name in (BASE, *adapters)}
    by_role = {name: scored(its) for name, its in rows.items()}
    samples = {role: samples_of(rows[BASE], role) for role in ROLES}
    troubles: list[Trouble] = []
    models: list[ModelScores] = []
    for name, its in rows.items():
        found = figures.troubles(name, its)
        troubles += found
        pairs: dict[Role, Paired] = {role: paired(by_role[BASE][role], [by_role[name][role]]) for role in ROLES}
        common: dict[str, Any] = {
            "model": name,
            "scores": [score_of(its, role, samples[role]) for role, its in pairs.items() if its],
            "pass_at_k": [one for role in ROLES for one in passes(its, role)],
            "troubles": found,
        }
        families: dict[str, Any] = {
            "families": [
                *figures.families(pairs["niche"], asked.chance),
                *figures.families(pairs["transfer"], asked.chance, set(pairs["transfer"].families)),
            ],
            "general": figures.families(pairs["general"], asked.chance),
        }
        if name == BASE:
            models.append(ModelScores(**common, **families, reference=source.name, digest=source.digest))
            continue
        adapter = adapters[name]
        nats = figures.nats_of(read_texts(folder / "evals", BASE), [read_texts(folder / "evals", name)])
        gain, transfer = (figures.estimate(pairs[r], METRIC[r]) if pairs[r] else None for r in ("niche", "transfer"))
        spreads = spreads_of(pairs)
        models.append(
            ModelScores(
                **common,
                **families,
                reference=adapter.reference,
                digest=adapter.source.digest,
                species=adapter.species,
                version=adapter.version,
                run=adapter.run,
                seed=adapter.seed,
                gain=gain,
                transfer=transfer,
                forgetting=figures.lost(pairs["general"], METRIC["general"], nats) if pairs["general"] else None,
                nats=nats,
                drift=figures.drift_of([read_drift(folder / "evals", name)]),
                spread=spreads[:2] if spreads else None,
                spread_change=spreads[2] if spreads else None,
                contamination=contamination.get(name),
            )
        )
    return EvalRecord(
        eval=folder.name,
        eval_dir=str(folder),
        suite=asked.suite.suite,
        suite_version=asked.suite.version,
        suite_digest=asked.digest,
        base={"name": source.name, "revision": source.revision, "digest": source.digest},
        models=models,
        items={role: len(part.scores) for role, part in by_role[BASE].items() if part.scores},
        left_out=dict(asked.left_out),
        chance=dict(asked.chance),
        answers=0,
        recalled=0,
        seconds=0.0,
        tokens_per_second=0.0,
        device=compute.device,
        precision=compute.weights,
        versions={},
        files=file_digests(folder / "evals"),
        notes=figures.doubts(troubles),
    )


def score_of(pairs: Paired, role: Role, samples: int) -> Score:
    """The mean score of the adapter, or of a base that is paired with itself, on the items of one role."""
    [scores] = pairs.adapters
    interval = stats.share_interval([scores], pairs.clusters)
    return Score(role=role, value=sum(scores) / len(scores), ci95=interval, n=len(scores), samples=samples)


def samples_of(rows: Rows, role: Role) -> int:
    """How often the items of one role were answered, at most."""
    return max((sample for its_role, _, sample in rows.keys if its_role == role), default=0) + 1


def passes(rows: Rows, role: Role) -> list[PassAtK]:
    """pass@k for k = 1, 2, 4, ... and all, where items were answered several times."""
    counts: dict[str, tuple[int, int]] = {}
    for (its_role, item, _), score in zip(rows.keys, rows.scores, strict=True):
        if its_role == role:
            n, right = counts.get(item, (0, 0))
            counts[item] = (n + 1, right + (score >= 1.0))
    samples = min((n for n, _ in counts.values()), default=1)
    if samples < 2:
        return []
    ks = sorted({2**power for power in range(samples.bit_length()) if 2**power <= samples} | {samples})
    found = [(k, *pass_at_k_interval(list(counts.values()), k)) for k in ks]
    return [PassAtK(role=role, k=k, value=value, ci95=interval, n=len(counts)) for k, value, interval in found]


def spreads_of(
    pairs: Mapping[Role, Paired],
) -> tuple[Spread, Spread, tuple[float, tuple[float, float]]] | None:
    """How uneven base and adapter are over the families of all roles, and the change; None for a few families."""
    base = [score for part in pairs.values() for score in part.base]
    adapter = [score for part in pairs.values() for score in part.adapters[0]]
    families = [family for part in pairs.values() for family in part.families]
    counts = Counter(families)
    names = list(counts)
    if len(names) < FEWEST_FAMILIES or min(counts.values()) < 2:
        return None

    def of(scores: list[float]) -> Spread:
        right = dict.fromkeys(names, 0)
        n = dict.fromkeys(names, 0)
        for score, family in zip(scores, families, strict=True):
            right[family] += score >= 1.0
            n[family] += 1
        found = spread(list(right.values()), list(n.values()))
        return Spread(value=found.value, ci95=found.interval, families=len(names))

    change = spread_difference(base, adapter, families)
    return of(base), of(adapter), (change.value, change.interval)
