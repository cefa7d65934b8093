"""From the answers of base and adapter to statistics, gates and a verdict, then the registry entry and the record."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speciate import runs
from speciate.evals import figures, stats
from speciate.evals.figures import METRIC, Paired, paired, scored
from speciate.evals.rows import Rows, file_digests, read_drift, read_rows, read_texts
from speciate.pipeline.folder import RunFolder
from speciate.pipeline.machine import peak_memory
from speciate.pipeline.setting import Setting
from speciate.pipeline.stage import SPEED
from speciate.recipe import recipe_digest, resolve
from speciate.records import (
    AdapterCard,
    Contamination,
    DataManifest,
    GateResult,
    Intact,
    ItemDrift,
    Parent,
    Role,
    RunRecord,
    TextLoss,
)
from speciate.records.trials import Choice, Chosen
from speciate.registry import store
from speciate.storage import disk_errors, read_json, write_json


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model said."""

    rows: Rows
    """One for each item of the niche, of the transfer families and of the general suite."""
    losses: list[TextLoss]
    drift: list[ItemDrift]
    """From the base; none where this is the base."""


def answers_in(folder: Path, model: str) -> Answers:
    """What a model said, from the files of its evaluation. Raises StorageError where they are damaged."""
    return Answers(read_rows(folder, model), read_texts(folder, model), read_drift(folder, model))


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict rests on."""

    data: DataManifest
    base: Answers
    adapter: Answers
    intact: Intact
    hammer: dict[str, bool]
    """For some items of the niche, by digest, whether a proof that needs no model does."""
    contamination: Contamination
    versions: dict[str, str]
    chosen: dict[Choice, Chosen]
    """Checkpoint and strength, where several were tried on development items."""

    def pairs(self, role: Role) -> Paired:
        """The same items of one role, answered by base and adapter."""
        return paired(scored(self.base.rows)[role], [scored(self.adapter.rows)[role]])


def judge(setting: Setting, evidence: Evidence) -> dict[str, Any]:
    """What card and record both say: verdict, gates and all figures with their intervals."""
    recipe = setting.loaded.recipe
    niche, transfer, general = (evidence.pairs(role) for role in ("niche", "transfer", "general"))
    nats = figures.nats_of(evidence.base.losses, [evidence.adapter.losses])
    gates: list[GateResult] = [
        stats.gain_gate(niche.base, niche.adapters[0], niche.families, recipe.gates.min_gain),
        stats.forgetting_gate(general.base, general.adapters[0], general.families, recipe.gates.max_forgetting),
    ]
    chance = setting.questions.chance
    solved = [dict(zip(niche.items, scores, strict=True)) for scores in (niche.base, niche.adapters[0])]
    return {
        "species": recipe.species,
        "verdict": stats.verdict_of(gates),
        "gates": gates,
        "gain": figures.estimate(niche, METRIC["niche"]),
        "transfer": figures.estimate(transfer, METRIC["transfer"]) if transfer else None,
        "forgetting": figures.lost(general, METRIC["general"], nats),
        "families": [*figures.families(niche), *figures.families(transfer, held_out=set(transfer.families))],
        "general": figures.families(general, chance),
        "drift": figures.drift_of([evidence.adapter.drift]),
        "troubles": [
            *figures.troubles("base", evidence.base.rows),
            *figures.troubles("adapter", evidence.adapter.rows),
        ],
        "contamination": evidence.contamination,
        "chosen": evidence.chosen,
        "hammer": stats.baseline("hammer", evidence.hammer, solved[0], solved[1]),
        "intact": evidence.intact,
        "seed": recipe.seed,
        "recipe_digest": recipe_digest(recipe),
        "suite": f"{setting.questions.suite.suite} version {setting.questions.suite.version}",
        "suite_digest": setting.questions.digest,
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
            parents=[Parent(kind="trained-from", digest=source.digest)],
            recipe=resolve(recipe),
            data_digest=evidence.data.digest,
            run=name,
            cost={"seconds": round(total, 1), "peak_memory_bytes": float(peak_memory())},
        )

    entry, registered = store.register(folder.path / "adapter", card)
    if isinstance(registered, AdapterCard) and registered.run != name:
        before = f"{registered.species}@{registered.version}"
        notes = [*notes, f"these very weights were registered before, as {before}"]
    speed = folder.path / SPEED
    trained: dict[str, float] = read_json(speed) if speed.exists() else {}
    record = RunRecord(
        **facts,
        run=name,
        run_dir=str(folder.path),
        adapter=str(entry),
        adapter_digest=registered.digest,
        seconds=seconds | {"total": round(total, 2)},
        tokens_per_second=round(trained["tokens"] / trained["seconds"], 1) if trained.get("seconds") else 0.0,
        peak_memory_bytes=peak_memory(),
        data=evidence.data,
        device=setting.compute.device,
        precision=setting.compute.training,
        files=file_digests(folder.path / "evals"),
        notes=[*figures.doubts(facts["troubles"]), *notes],
    )
    with disk_errors(folder.path):
        write_json(folder.path / runs.RECORD, record.document())
    return record
