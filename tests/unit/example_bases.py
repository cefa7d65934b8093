"""A base that was measured by itself, for tests that show it."""

from typing import Any

from example_comparisons import NAMES, comparison
from example_records import DIGEST, family

from speciate.records import Arm, Comparison, EvalRecord, ModelScores, Score

SCORE = Score(role="general", value=0.971, ci95=(0.957, 0.981), n=760)


def base_alone(families: int = 12, **changed: Any) -> Arm:
    """One that has answered general items, the first family worst."""
    scores = [
        family(f"general/{NAMES[at % len(NAMES)]}-{at}", 40, 28 + at % 12, 28 + at % 12, chance=0.5 if at == 3 else 0.0)
        for at in range(families)
    ]
    arm = Arm(
        label="data/base/tiny",
        species="",
        runs=["general-tiny-20261125-034212/base"],
        seeds=[None],
        base={"name": "data/base/tiny", "revision": "", "digest": DIGEST},
        adapters=[],
        verdict=None,
        scores=[SCORE],
        general=scores,
        provenance={"suite": DIGEST, "device": "cpu"},
    )
    return arm.model_copy(update=changed)


def of_a_base(*arms: Arm) -> Comparison:
    """A comparison of bases alone."""
    return Comparison(
        arms=list(arms) or [base_alone()],
        verdict=["data/base/tiny by itself scores 97.1% in general (95% interval 95.7% to 98.1%, 760 items)."],
        items={"general": 760},
    )


def beside_an_adapter() -> Comparison:
    """An adapter and a base alone, on what both answered."""
    whole = comparison(1)
    return whole.model_copy(update={"arms": [*whole.arms, base_alone()]})


def evaluation(**changed: Any) -> EvalRecord:
    """Of the base alone."""
    content: dict[str, Any] = {
        "eval": "general-tiny-20261125-034212",
        "eval_dir": "/home/ada/.speciate/evals/general-tiny-20261125-034212",
        "suite": "general-tiny",
        "suite_version": 2,
        "suite_digest": DIGEST,
        "base": {"name": "data/base/tiny", "revision": "", "digest": DIGEST},
        "models": [ModelScores(model="base", reference="data/base/tiny", digest=DIGEST, scores=[SCORE])],
        "items": {"general": 760},
        "answers": 760,
        "recalled": 0,
        "seconds": 7.2,
        "tokens_per_second": 3903.0,
        "device": "cpu",
        "precision": "float32",
        "versions": {},
    }
    return EvalRecord.model_validate(content | changed)
