"""Every known cheat is refused by a real Lean, with the reason that names its class; every true proof is accepted.

The cases are in evals/lean: lines that `speciate lean check` reads. Each cheat is followed by an honest proof, so that
one that left something behind would show.
"""

import json
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from speciate.data.build import shares
from speciate.niches.lean import engine
from speciate.niches.lean.engine import Lean
from speciate.niches.lean.families import AUTOMATION, BY_HAND, FAMILIES, capped
from speciate.niches.lean.hammer import strike
from speciate.niches.lean.niche import stream
from speciate.niches.lean.requests import Request, parse
from speciate.niches.lean.verdict import REASONS, LeanJob, by

pytestmark = pytest.mark.lean

CASES = Path(__file__).parents[2] / "evals" / "lean"
UNREADABLE = {"characters", "nesting", "literal", "size"}
"""What the text gate alone keeps from Lean: sizes that crash a parser, and what only a reader could overlook."""


def cases(name: str) -> list[Any]:
    """The cases of a file, each with its id as the name of its test."""
    lines = (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [pytest.param(json.loads(line), id=json.loads(line)["id"]) for line in lines]


def request(case: dict[str, Any]) -> Request:
    """The case as the command line reads it."""
    return parse(json.dumps(case))


def test_there_are_enough_cases() -> None:
    assert len(cases("cheats")) >= 60
    assert len(cases("library")) >= 150
    assert set(" ".join(case.values[0]["class"] for case in cases("cheats")).split()) <= REASONS.keys()


@pytest.mark.parametrize("case", cases("cheats"))
def test_a_cheat_is_refused_and_the_next_proof_is_judged_right(lean: Lean, case: dict[str, Any]) -> None:
    verdict = next(lean.check([request(case).job]))
    assert verdict.verdict == "rejected", verdict
    assert verdict.reason in case["class"].split(), verdict
    assert verdict.message
    honest = LeanJob("", "theorem t (x y : Nat) : x + y = y + x", f"Nat.add_comm x y -- after {case['id']}")
    assert next(lean.check([honest])).proved


@pytest.mark.parametrize("case", [case for case in cases("cheats") if case.values[0]["class"] not in UNREADABLE])
def test_lean_refuses_the_cheat_without_the_text_gate(
    lean: Lean, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.gate, "refusal", Mock(return_value=None))
    job = request({**case, "proof": case["proof"] + "\n"}).job
    verdict = next(lean.check([job]))
    assert verdict.verdict == "rejected", verdict
    assert verdict.reason not in ("context", "statement", "name"), verdict


@pytest.mark.parametrize("case", cases("library"))
def test_a_true_proof_is_accepted(lean: Lean, case: dict[str, Any]) -> None:
    verdict = next(lean.check([request(case).job]))
    assert verdict.proved, verdict


@pytest.mark.parametrize("family", FAMILIES)
def test_reference_proofs_of_a_family_are_accepted(lean: Lean, family: str) -> None:
    items = list(islice(stream(family, "references"), 10))
    jobs = [LeanJob(item.payload["preamble"], item.payload["statement"], by(item.reference)) for item in items]
    assert [found for found in lean.check(jobs) if not found.proved] == []


@pytest.mark.parametrize("family", BY_HAND)
def test_a_family_of_the_restricted_track_is_proved_by_hand(lean: Lean, family: str) -> None:
    items = list(islice(stream(family, "by hand"), 10))
    jobs = [
        LeanJob(item.payload["preamble"], item.payload["statement"], by(item.reference), without=AUTOMATION)
        for item in items
    ]
    assert [found for found in lean.check(jobs) if not found.proved] == []


def test_automation_proves_less_than_a_quarter_of_a_split(lean: Lean) -> None:
    trained = [name for name in FAMILIES if name not in ("implications", "equivalences")]
    weights = capped(trained, {})
    assert weights is not None
    items = [
        item for name, count in shares(60, trained, weights).items() for item in islice(stream(name, "cap"), count)
    ]
    jobs = [LeanJob(item.payload["preamble"], item.payload["statement"], "") for item in items]
    struck = list(strike(jobs, lean.check))
    assert not any(one.problem for one in struck)
    assert 0 < sum(bool(one.tactic) for one in struck) <= len(items) / 4
