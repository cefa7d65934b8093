"""Comparisons with plausible figures, large ones and hostile ones, for tests that show them."""

import math
from random import Random
from typing import Any, cast

from example_records import DIGEST, family, forgetting, hammer, intact

from speciate.records import (
    Arm,
    Comparison,
    Contamination,
    Contrast,
    CurvePoint,
    Drift,
    Estimate,
    FamilyScore,
    Flip,
    GateResult,
    Nats,
    Outcome,
    RecipeDifference,
    Role,
    Spread,
    Trouble,
)

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
