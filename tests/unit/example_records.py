"""Records with plausible figures, for tests that show or store them."""

import math
from typing import Any

from speciate.records import (
    AdapterCard,
    Baseline,
    DataManifest,
    Estimate,
    FamilyScore,
    Forgetting,
    GateResult,
    Intact,
    Nats,
    Outcome,
    RunRecord,
)
from speciate.records.trials import Chosen, Trial

DIGEST = "sha256:" + "ab12" * 16


def gates(verdict: Outcome = "passed") -> list[GateResult]:
    return [
        GateResult(
            gate="min_gain",
            bound=0.45,
            observed=0.634,
            interval=(0.59, 0.678),
            outcome="passed",
            n=320,
            explanation="gain +63.4 points, between +59.0 and +67.8 (90% interval, 320 items); asked: at least 45",
        ),
        GateResult(
            gate="max_forgetting",
            bound=0.01,
            observed=0.004,
            interval={"passed": (-0.001, 0.009), "failed": (0.011, 0.031), "undecided": (-0.001, 0.013)}[verdict],
            outcome=verdict,
            n=1200,
            n_to_decide=2480 if verdict == "undecided" else None,
            explanation="forgetting +0.4 points, between -0.1 and +0.9 (90% interval, 1,200 items); asked: below 1",
        ),
    ]


def gain() -> Estimate:
    return Estimate(
        metric="pass@1",
        base=0.0969,
        adapter=0.7313,
        delta=0.6344,
        ci95=(0.5813, 0.6844),
        n=320,
        right_to_wrong=3,
        wrong_to_right=206,
        p_mcnemar=3.1e-57,
    )


def forgetting() -> Forgetting:
    nats = Nats(base=1.8412, adapter=1.8467, delta=0.0055, ci95=(0.0021, 0.0092), tokens=51200, documents=64)
    return Forgetting(
        metric="accuracy",
        base=0.8125,
        adapter=0.8083,
        delta=0.0042,
        ci95=(-0.0025, 0.0108),
        ci95_upper=0.0092,
        n=1200,
        right_to_wrong=9,
        wrong_to_right=4,
        p_mcnemar=0.267,
        nats=nats,
    )


def families() -> list[FamilyScore]:
    return [
        family("propositional", 40, 6, 33),
        family("equality-chains", 40, 2, 31),
        family("list-induction-with-append", 40, 0, 40),
        family("quantifiers", 40, 1, 9, held_out=True),
    ]


def family(name: str, n: int, base: int, adapter: int, held_out: bool = False, chance: float = 0.0) -> FamilyScore:
    """Intervals by rule of thumb: near enough to be shown."""
    old, new = base / n, adapter / n
    width = 1.96 * math.sqrt((abs(new - old) + 0.05 - (new - old) ** 2 * 0.9) / n)
    p = min(1.0, 2.0 ** (1 - abs(adapter - base)))
    return FamilyScore(
        family=name,
        n=n,
        base_right=base,
        adapter_right=adapter,
        base=old,
        adapter=new,
        base_ci95=_around(old, n),
        adapter_ci95=_around(new, n),
        delta=new - old,
        delta_ci95=(max(-1.0, new - old - width), min(1.0, new - old + width)),
        p_holm=p,
        chance=chance,
        held_out=held_out,
    )


def _around(share: float, n: int) -> tuple[float, float]:
    middle = (share * n + 1.92) / (n + 3.84)
    width = 1.96 * math.sqrt(share * (1 - share) * n + 0.96) / (n + 3.84)
    return max(0.0, middle - width), min(1.0, middle + width)


def hammer() -> Baseline:
    return Baseline(
        name="hammer", solved=21, n=100, ci95=(0.142, 0.3), base_solved=2, adapter_solved=77, adapter_only=58
    )


def intact(holds: bool = True) -> Intact:
    after = DIGEST if holds else "sha256:" + "ff" * 32
    return Intact(
        base_digest_before=DIGEST,
        base_digest_after=after,
        memory_digest_before=DIGEST,
        memory_digest_after=DIGEST,
        logits_identical=holds,
        prompts=32,
    )


def card(species: str = "lean-prover", version: int = 1, digest: str = DIGEST, **changed: Any) -> AdapterCard:
    content: dict[str, Any] = {
        "species": species,
        "version": version,
        "digest": digest,
        "created": "2026-11-23T15:04:05Z",
        "niche": "lean",
        "description": "Proves small theorems of core Lean 4.",
        "base": {"name": "data/base/tiny", "revision": "", "digest": DIGEST},
        "parents": [{"kind": "trained-from", "digest": DIGEST}],
        "recipe": {"species": species, "seed": 0},
        "recipe_digest": DIGEST,
        "data_digest": DIGEST,
        "run": "lean-prover-20261123-1504",
        "seed": 0,
        "verdict": "passed",
        "gates": gates(),
        "gain": gain(),
        "forgetting": forgetting(),
        "families": families(),
        "hammer": hammer(),
        "intact": intact(),
        "versions": {"torch": "2.13.0"},
        "cost": {"seconds": 412.0, "peak_memory_bytes": 2_913_000_000.0},
    }
    return AdapterCard.model_validate(content | changed)


def chosen(why: str = "the strongest whose forgetting on development items is below the bound") -> Chosen:
    """Three strengths, of which the middle one was taken."""
    trials = [
        Trial(
            step=800,
            strength=strength,
            niche=0.8 * strength,
            gain=0.75 * strength,
            gain_ci95=(0.7 * strength, 0.8 * strength),
            forgetting=loss,
            forgetting_upper=loss + 0.01,
            niche_items=100,
            general_items=380,
            passed=loss < 0.03,
        )
        for strength, loss in ((1.0, 0.04), (0.9, 0.02), (0.8, 0.01))
    ]
    return Chosen(taken=trials[1], why=why, trials=trials, without=["harness_task"])


def run_record(verdict: Outcome = "passed", **changed: Any) -> RunRecord:
    manifest = DataManifest(
        rows=6000,
        replay_rows=600,
        families={"propositional": 1500},
        digest=DIGEST,
        eval_digest=DIGEST,
        rejected_references=0,
        duplicates_removed=212,
        overlap_with_eval=0,
    )
    content: dict[str, Any] = {
        "run": "lean-prover-20261123-1504",
        "run_dir": "/home/ada/.speciate/runs/lean-prover-20261123-1504",
        "species": "lean-prover",
        "adapter": "/home/ada/.speciate/registry/entries/ab12ab12ab12ab12",
        "adapter_digest": DIGEST,
        "verdict": verdict,
        "gates": gates(verdict),
        "gain": gain(),
        "forgetting": forgetting(),
        "families": families(),
        "hammer": hammer(),
        "intact": intact(),
        "seconds": {"data": 21.4, "preflight": 1.2, "train": 304.7, "intact": 6.1, "evals": 78.9, "total": 412.3},
        "tokens_per_second": 3481.2,
        "peak_memory_bytes": 2_913_000_000,
        "seed": 0,
        "recipe_digest": DIGEST,
        "data": manifest,
        "device": "cpu",
        "precision": "fp32",
        "versions": {"torch": "2.13.0"},
    }
    return RunRecord.model_validate(content | changed)
