"""From the answers of base and adapter to statistics, gates and a verdict, then the registry entry and the record."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from speciate import runs
from speciate.evals import stats
from speciate.evals.runner import Split
from speciate.pipeline.folder import RunFolder
from speciate.pipeline.machine import peak_memory
from speciate.pipeline.setting import Setting
from speciate.recipe import recipe_digest, resolve
from speciate.records import AdapterCard, DataManifest, EvalRow, GateResult, Intact, RunRecord
from speciate.registry import store
from speciate.storage import disk_errors, read_json, write_json


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model said."""

    rows: list[EvalRow]
    """One for each item of the niche, of the transfer families and of the general suite."""
    losses: list[tuple[float, int]]
    """For each text of the suite its loss in nats, and its tokens."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict rests on."""

    data: DataManifest
    base: Answers
    adapter: Answers
    intact: Intact
    hammer: dict[str, bool]
    """For some items of the niche, by digest, whether a proof that needs no model does."""
    versions: dict[str, str]

    def scores(self, split: Split) -> tuple[list[float], list[float], list[str]]:
        """Scores of base and adapter on the same items of one split, and the items' families."""
        old, new = ([row for row in answers.rows if row.split == split] for answers in (self.base, self.adapter))
        if [row.item for row in old] != [row.item for row in new]:
            raise ValueError(f"base and adapter answered different {split} items")
        return [row.score for row in old], [row.score for row in new], [row.family for row in old]

    @property
    def models(self) -> tuple[Answers, Answers]:
        """Base and adapter."""
        return self.base, self.adapter


def by_item(answers: Answers) -> dict[str, float]:
    """The score of each item of the niche, by its digest."""
    return {row.item: row.score for row in answers.rows if row.split == "niche"}


def judge(setting: Setting, evidence: Evidence) -> dict[str, Any]:
    """What card and record both say: verdict, gates and all figures with their intervals."""
    recipe = setting.loaded.recipe
    niche, transfer, general = (evidence.scores(split) for split in ("niche", "transfer", "general"))
    base_nats, adapter_nats = (
        [total / tokens for total, tokens in answers.losses] for answers in (evidence.base, evidence.adapter)
    )
    nats = stats.nats_difference(base_nats, adapter_nats, [tokens for _, tokens in evidence.base.losses])
    gates: list[GateResult] = [
        stats.gain_gate(*niche, recipe.gates.min_gain),
        stats.forgetting_gate(*general, recipe.gates.max_forgetting),
    ]
    return {
        "species": recipe.species,
        "verdict": stats.verdict_of(gates),
        "gates": gates,
        "gain": stats.paired_estimate(*niche, "pass@1"),
        "transfer": stats.paired_estimate(*transfer, "pass@1") if transfer[0] else None,
        "forgetting": stats.forgetting(*general, "exact match", nats=nats),
        "families": [*stats.family_scores(*niche), *stats.family_scores(*transfer, held_out=set(transfer[2]))],
        "hammer": stats.baseline("hammer", evidence.hammer, *(by_item(answers) for answers in evidence.models)),
        "intact": evidence.intact,
        "seed": recipe.seed,
        "recipe_digest": recipe_digest(recipe),
        "versions": dict(sorted(evidence.versions.items())),
    }


def conclude(setting: Setting, folder: RunFolder, evidence: Evidence, notes: list[str]) -> RunRecord:
    """The verdict; then the registry entry, and last of all the record in the run's folder."""
    recipe, source = setting.loaded.recipe, setting.source
    facts = judge(setting, evidence)
    seconds = folder.seconds()
    total = sum(seconds.values())
    name = folder.path.name

    def card(digest: str, version: int) -> AdapterCard:
        return AdapterCard(
            **facts,
            version=version,
            digest=digest,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            niche=recipe.niche.name,
            description=recipe.description,
            base={"name": source.name, "revision": source.revision, "digest": source.digest},
            parents=[{"kind": "trained-from", "digest": source.digest}],
            recipe=resolve(recipe),
            data_digest=evidence.data.digest,
            run=name,
            cost={"seconds": round(total, 1), "peak_memory_bytes": float(peak_memory())},
        )

    entry, registered = store.register(folder.path / "adapter", card)
    if registered.run != name:
        before = f"{registered.species}@{registered.version}"
        notes = [*notes, f"these very weights were registered before, as {before}"]
    speed = folder.path / "speed.json"
    record = RunRecord(
        **facts,
        run=name,
        run_dir=str(folder.path),
        adapter=str(entry),
        adapter_digest=registered.digest,
        seconds=seconds | {"total": round(total, 2)},
        tokens_per_second=round(read_json(speed)["tokens_per_second"], 1) if speed.exists() else 0.0,
        peak_memory_bytes=peak_memory(),
        data=evidence.data,
        device=setting.compute.device,
        precision=setting.compute.training,
        notes=notes,
    )
    with disk_errors(folder.path):
        write_json(folder.path / runs.RECORD, record.document())
    return record
