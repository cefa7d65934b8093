"""Records with plausible figures, for tests that show or store them."""

import math
from random import Random
from typing import Any, cast

from speciate.records import (
    AdapterCard,
    Arm,
    Baseline,
    Comparison,
    Contamination,
    Contrast,
    CurvePoint,
    DataManifest,
    Drift,
    Estimate,
    FamilyScore,
    Flip,
    Forgetting,
    GateResult,
    Intact,
    Nats,
    Outcome,
    RecipeDifference,
    Role,
    RunRecord,
    Spread,
    Trouble,
)

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
        "parents": [{"kind": "base", "digest": DIGEST}],
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


LABELS = (
    "lora r=32",
    "lora r=8",
    "kl anchor",
    "replay 35%",
    "no guard",
    "mask targets",
    *(f"arm {n}" for n in range(99)),
)
TRADES = ((0.634, 0.012), (0.55, 0.004), (0.60, 0.021), (0.66, 0.031), (0.71, 0.058), (0.42, -0.002))
"""Gain and forgetting of one arm after the other; the third is not on the front."""
NAMES = (
    "conjunctions", "disjunctions", "implications", "equivalences", "case_splits", "equalities", "quantifiers",
    "witnesses", "linear", "decidable", "lists", "induction", "negation", "commutativity", "associativity",
)  # fmt: skip
PROOF = """theorem t (a d y u : Prop) (h1 : a ∧ (d ∧ y)) (h2 : d → u) : d ∧ u := by"""
RIGHT = """obtain ⟨a', ⟨d', y'⟩⟩ := h1
have u' : u := h2 d'
exact ⟨d', u'⟩"""
WRONG = """cases h1 with
| intro a' h =>
  exact ⟨h.1, h2 h⟩"""


def comparison(
    arms: int = 2, niche: int = 12, held_out: int = 2, general: int = 9, flips: int = 60, **changed: Any
) -> Comparison:
    """So many arms, measured on so many families; all of it follows from these numbers."""
    random = Random(arms * 1000 + niche)
    ways = [_arm(number, niche, held_out, general, random) for number in range(arms)]
    pairs = [(first, second) for at, first in enumerate(ways) for second in ways[at + 1 :]]
    labels = [way.label for way in ways]
    content: dict[str, Any] = {
        "arms": ways,
        "contrasts": [contrast for first, second in pairs for contrast in _contrasts(first, second)],
        "verdict": [
            f"{labels[0]}: {ways[0].verdict}. It gains 63.4 points on the niche (95% interval 58.3 to 68.5) "
            "and loses 1.2 general points (0.4 to 2.0).",
            *(f"{way.label}: {way.verdict}." for way in ways[1:]),
            "One seed for each arm: the luck of the seed is not in these intervals.",
        ],
        "items": {"niche": 400, "transfer": 100, "general": 1200},
        "flips": [_flip(number, labels, niche, general) for number in range(flips)],
        "flips_total": flips * 3,
        "recipe": [
            RecipeDifference(key="train.lora.r", values=[str(2**at) for at in range(arms)]),
            RecipeDifference(key="guard.replay", values=["0.35" if at % 2 else "" for at in range(arms)]),
            RecipeDifference(key="data.weights", values=["{case_splits: 3, equalities: 7}"] * (arms - 1) + ["{}"]),
        ]
        if arms > 1
        else [],
    }
    return Comparison.model_validate(content | changed)


def _arm(number: int, niche: int, held_out: int, general: int, random: Random) -> Arm:
    gained, lost = TRADES[number % len(TRADES)]
    scores = [_family(at, random, 0.05, 0.08 + gained) for at in range(niche)]
    apart = [_family(at + niche, random, 0.02, 0.2, held_out=True) for at in range(held_out)]
    kept = [_family(at, random, 0.8, 0.8 - lost, "general/") for at in range(general)]
    asked = [_gate("min_gain", 0.45, gained, 0.043, 400), _gate("max_forgetting", 0.03, lost, 0.007, 1200)]
    outcomes = {gate.outcome for gate in asked}
    families = niche + held_out + general
    return Arm(
        label=LABELS[number],
        species="lean-prover",
        runs=[f"lean-prover-20261123-15{number:02}"],
        seeds=[0],
        base={"name": "data/base/tiny", "revision": "", "digest": DIGEST},
        adapters=[DIGEST],
        verdict=next(outcome for outcome in ("failed", "undecided", "passed") if outcome in outcomes),
        gates=asked,
        gain=_estimate(0.0075, gained, 0.051, 400),
        transfer=_estimate(0.0, 0.05, 0.06, 100),
        forgetting=forgetting().model_copy(
            update={
                "adapter": 0.8125 - lost,
                "delta": lost,
                "ci95": (lost - 0.008, lost + 0.008),
                "ci95_upper": lost + 0.007,
                "right_to_wrong": 9 + round(1500 * lost),
                "wrong_to_right": 9 + round(300 * lost),
                "nats": Nats(
                    base=1.8412,
                    adapter=1.8412 + lost,
                    delta=lost,
                    ci95=(lost - 0.003, lost + 0.003),
                    tokens=51200,
                    documents=64,
                    bits_per_byte=(0.912, 0.912 + lost / 3),
                ),
            }
        ),
        families=[*scores, *apart],
        general=kept,
        drift=[_drift("niche", 1.2 + gained), _drift("general", 0.02 + lost)],
        spread=(
            Spread(value=0.36, ci95=(0.33, 0.39), families=families),
            Spread(value=0.21 + lost, ci95=(0.18 + lost, 0.24 + lost), families=families),
        ),
        hammer=hammer(),
        intact=intact(),
        troubles=[
            Trouble(model="base", reason="unfinished", rows=212, n=1700),
            Trouble(model="adapter", reason="timeout", rows=3, n=1700),
        ],
        contamination=Contamination(rows=6000, items=1700, exact=0, ngram=3, limit=0.01),
        curve=[
            CurvePoint(
                step=step,
                loss=0.2 + 3 * math.exp(-step / (60 + 20 * number)) + random.uniform(-0.05, 0.05),
                dev_loss=0.3 + 0.05 * number + 3 * math.exp(-step / 100) if step % 100 == 0 else None,
                learning_rate=1.5e-3 * (1 - step / 600),
            )
            for step in range(10, 610, 10)
        ],
        cost={"seconds": 412, "peak_memory_bytes": 2.9e9, "tokens_per_second": 3481.2, "adapter_parameters": 884736},
        provenance={
            "recipe": DIGEST.replace("ab", f"{number:02}"),
            "data": DIGEST,
            "suite": DIGEST,
            "device": "cpu",
            "precision": "fp32",
            "torch": "2.13.0",
            "peft": "0.21.0",
        },
        on_front=all(more <= gained or least >= lost for more, least in TRADES),
    )


def _gate(name: str, bound: float, observed: float, width: float, n: int) -> GateResult:
    low, high = observed - width, observed + width
    better = (low - bound, high - bound) if name == "min_gain" else (bound - high, bound - low)
    outcome: Outcome = "passed" if better[0] >= 0 else "failed" if better[1] < 0 else "undecided"
    return GateResult(
        gate=name,
        bound=bound,
        observed=observed,
        interval=(low, high),
        outcome=outcome,
        n=n,
        n_to_decide=4100 if outcome == "undecided" else None,
        explanation=f"{name} {observed:.3f}, between {low:.3f} and {high:.3f}",
    )


def _estimate(base: float, delta: float, width: float, n: int) -> Estimate:
    return Estimate(
        metric="pass@1",
        base=base,
        adapter=base + delta,
        delta=delta,
        ci95=(delta - width, delta + width),
        n=n,
        right_to_wrong=1,
        wrong_to_right=1 + round(delta * n),
        p_mcnemar=2.0 ** -min(40, round(abs(delta) * n)),
    )


def _drift(role: Role, size: float) -> Drift:
    return Drift(
        role=role,
        forward=size,
        forward_ci95=(size * 0.9, size * 1.1),
        reverse=size * 1.6,
        reverse_ci95=(size * 1.4, size * 1.8),
        tokens=12_000,
        items=200,
    )


def _family(at: int, random: Random, base: float, adapter: float, prefix: str = "", **marks: Any) -> FamilyScore:
    name = f"{prefix}{NAMES[at % len(NAMES)]}{f'-{at // len(NAMES)}' if at >= len(NAMES) else ''}"
    n = 40
    right = [min(n, max(0, round(n * (share + random.uniform(-0.2, 0.2))))) for share in (base, adapter)]
    return family(name, n, right[0], right[1], chance=0.25 if prefix and at % 3 == 0 else 0.0, **marks)


def _contrasts(first: Arm, second: Arm) -> list[Contrast]:
    """The niche and the general suite, the latter as scores: a positive difference is less forgotten."""
    assert first.gain and second.gain and first.forgetting and second.forgetting  # noqa: PT018
    gained = _estimate(first.gain.adapter, second.gain.adapter - first.gain.adapter, 0.04, 400)
    kept = _estimate(first.forgetting.adapter, second.forgetting.adapter - first.forgetting.adapter, 0.009, 1200)
    return [
        Contrast(first=first.label, second=second.label, role="niche", estimate=gained, p_holm=gained.p_mcnemar),
        Contrast(
            first=first.label,
            second=second.label,
            role="general",
            estimate=kept.model_copy(update={"metric": "accuracy"}),
            p_holm=0.21,
        ),
    ]


def _flip(number: int, labels: list[str], niche: int, general: int) -> Flip:
    lost = number % 3 == 0
    name = NAMES[number % min(len(NAMES), niche or 1)]
    variable = "pqrstuvw"[number % 8]
    return Flip(
        arm=labels[number % len(labels)],
        item=f"sha256:{number:064x}",
        family=f"general/{NAMES[number % general % len(NAMES)]}" if lost and general else name,
        role="general" if lost and general else "niche",
        lost=lost,
        prompt=PROOF.replace("(a d", f"({variable}{number} a d"),
        base_output=RIGHT if lost else WRONG,
        adapter_output=WRONG if lost else RIGHT,
        reason="wrong",
        detail="type mismatch\n  h\nhas type\n  d ∧ y : Prop\nbut is expected to have type\n  d : Prop" if lost else "",
    )


HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(1)></style></svg>]]>--> \x00\x1b[31m\u202e\u2066\ud800 &amp; '
    "{{7*7}}{% raw %} ${x} `c` | [a](javascript:x) ![b](//h/i.png) @mention #12 https://evil.example \\ url(//x) }*{ "
)
"""Text that would be markup, style, script, a template, a mention or a command of a terminal if it were let."""


def hostile(text: str = HOSTILE, arms: int = 3, niche: int = 5, flips: int = 60) -> Comparison:
    """A comparison in which every text that others write holds `text`."""
    dumped = comparison(arms, niche, flips=flips).model_dump(by_alias=True)
    marked = _marked(dumped, text)
    marked["verdict"] = [sentence + text for sentence in dumped["verdict"]]
    return Comparison.model_validate(marked)


def _marked(value: Any, text: str) -> Any:
    if isinstance(value, str):
        return value + text
    if isinstance(value, list | tuple):
        return [_marked(one, text) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            f"{key}{text}" if key in OPEN_KEYS else key: one if key in HONEST else _marked(one, text)
            for key, one in cast("dict[str, Any]", value).items()
        }
    return value


HONEST = {"schema", "speciate", "verdict", "role", "outcome"}
"""Keys of what is not free text."""
OPEN_KEYS = {"device", "torch", "peft", "seconds", "adapter_parameters"}
"""Keys that are free text themselves."""
