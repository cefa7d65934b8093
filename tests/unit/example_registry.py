"""A registry on disk with a small phylogeny, and one of hostile cards, for tests of what shows it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from example_records import card, families
from safetensors.numpy import save_file

from speciate.models.adapter import CONFIG, WEIGHTS
from speciate.records import AdapterCard, Card, UnmeasuredCard
from speciate.registry import store

BASE = "sha256:" + "ba5e" * 16
SCRIPT = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">'\"\u202e{{7*7}}"
"""In any field of a card that takes words."""


def adapter(folder: Path, value: float) -> Path:
    """An adapter whose content is its value."""
    folder.mkdir(parents=True)
    save_file({"layer.lora_A.weight": np.full((2, 4), value, dtype=np.float32)}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}))
    return folder


def registered(folder: Path, value: float, species: str, **changed: Any) -> Card:
    """One entry."""

    def filled(digest: str, version: int) -> AdapterCard:
        return card(species, version, digest, **changed)

    return store.register(adapter(folder, value), filled)[1]


def figures(gain: float, lost: float) -> dict[str, Any]:
    """Of a card with these shares."""
    whole = card()
    return {
        "gain": whole.gain.model_copy(update={"delta": gain, "ci95": (gain - 0.04, gain + 0.04)}),
        "forgetting": whole.forgetting.model_copy(
            update={"delta": lost, "ci95": (lost - 0.01, lost + 0.01), "ci95_upper": lost + 0.008}
        ),
    }


def phylogeny(folder: Path) -> dict[str, Card]:
    """Three generations, a merged adapter, and one that came from elsewhere; by `species@version`."""
    made: dict[str, Card] = {}

    def add(species: str, parents: list[tuple[str, str]], rank: int, gain: float, lost: float, **changed: Any) -> None:
        edges = [
            {"kind": kind, "digest": made[name].digest if name in made else BASE} for kind, name in parents
        ]  # fmt: skip
        number = len(made)
        content: dict[str, Any] = {
            "base": {"name": "org/tiny", "revision": "", "digest": BASE},
            "parents": edges,
            "recipe": {"species": species, "seed": number, "train": {"lora": {"r": rank}, "epochs": 3}},
            "created": f"2026-11-{10 + number:02}T12:00:00Z",
            "run": f"{species}-{number}",
            "families": families(),
            "general": families()[:2],
        }
        one = registered(folder / str(number), number, species, **(content | figures(gain, lost) | changed))
        made[f"{one.species}@{one.version}"] = one

    trained = [("trained-from", "base")]
    add("lean-prover", trained, 8, 0.63, 0.004)
    add("lean-prover", [("continued", "lean-prover@1")], 16, 0.71, 0.012, verdict="undecided")
    add("lean-prover", [("continued", "lean-prover@1")], 32, 0.80, 0.031, verdict="failed")
    add("sql-writer", trained, 8, 0.42, 0.002, niche="sql", description="Writes queries.")
    add("sql-writer", [("rescaled", "sql-writer@1")], 8, 0.31, 0.001, niche="sql")
    add("both", [("merged", "lean-prover@2"), ("merged", "sql-writer@1")], 8, 0.66, 0.002, niche="lean")

    def elsewhere(digest: str, version: int) -> UnmeasuredCard:
        return UnmeasuredCard(
            species="found", version=version, digest=digest, created="2026-11-20T12:00:00Z",
            base={"name": "org/tiny", "digest": BASE}, parents=[], origin="a folder",
        )  # fmt: skip

    made["found@1"] = store.register(adapter(folder / "found", 99), elsewhere)[1]
    store.point("lean-prover", "best", made["lean-prover@2"].digest)
    return made


def hostile(folder: Path) -> Card:
    """An entry whose card has markup and scripts wherever words may stand."""
    scores = [score.model_copy(update={"family": SCRIPT}) for score in families()]
    gates = [gate.model_copy(update={"gate": SCRIPT, "explanation": SCRIPT}) for gate in card().gates]
    return registered(
        folder / "hostile",
        666,
        "hostile",
        description=SCRIPT,
        niche=SCRIPT,
        base={"name": SCRIPT, "revision": SCRIPT, "digest": SCRIPT},
        parents=[{"kind": "trained-from", "digest": SCRIPT}, {"kind": "merged", "digest": "../../etc/passwd"}],
        recipe={SCRIPT: SCRIPT, "train": {SCRIPT: [SCRIPT]}},
        recipe_digest=SCRIPT,
        data_digest=SCRIPT,
        suite_digest=SCRIPT,
        run=SCRIPT,
        licence=SCRIPT,
        created=SCRIPT,
        versions={SCRIPT: SCRIPT},
        cost={SCRIPT: 1.0},
        families=scores,
        general=scores,
        gates=gates,
        troubles=[{"model": SCRIPT, "reason": SCRIPT, "rows": 1, "n": 2}],
        gain=card().gain.model_copy(update={"metric": SCRIPT}),
    )
