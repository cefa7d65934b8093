"""Random and malformed proofs, and workers that somebody kills: every request is answered, and answered right."""

import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speciate.niches.lean.engine import Lean
from speciate.niches.lean.pool import LeanPool
from speciate.niches.lean.process import LocalJudge
from speciate.niches.lean.verdict import LeanJob

pytestmark = [pytest.mark.lean, pytest.mark.usefixtures("lean_home")]

FALSE = "theorem t : (2 : Nat) + 2 = 5"
TRUE = "theorem t (x y : Nat) : x + y = y + x"
WORDS: list[str] = json.loads((Path(__file__).parents[2] / "evals" / "lean" / "words.json").read_text())

malformed = st.one_of(
    st.binary(max_size=200).map(lambda found: found.decode("utf-8", errors="surrogateescape")),
    st.text(max_size=100),
    st.lists(st.sampled_from([*WORDS, "_"]), max_size=40).map(" ".join),
    st.integers(0, 220).map(lambda depth: "by exact " + "(" * depth + "rfl" + ")" * depth),
    st.integers(0, 50).map(lambda cut: "by\n  induction x with\n  | zero => simp\n  | succ x ih => omega"[:cut]),
)


@given(malformed)
@settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_malformed_proof_is_accepted_or_ends_the_process(lean: Lean, proof: str) -> None:
    verdict = next(lean.check([LeanJob("", FALSE, proof)]))
    assert verdict.verdict in ("rejected", "timeout"), verdict
    assert lean.is_running


@pytest.mark.parametrize(
    "proof",
    ["by rfl\0", "by " + "x" * 1_000_000, "-- " + "y" * 1_000_000, "\udcff\udcfe"],
    ids=["nul", "one long word", "one long comment", "no UTF-8"],
)
def test_a_proof_of_a_strange_size_or_alphabet_is_refused(lean: Lean, proof: str) -> None:
    assert next(lean.check([LeanJob("", FALSE, proof)])).verdict == "rejected"


def test_a_proof_that_crashes_the_parser_costs_only_itself(lean: Lean) -> None:
    deep = LeanJob("", FALSE, "by exact " + "- " * 3000 + "rfl")
    verdict, after = lean.check([deep, LeanJob("", TRUE, "Nat.add_comm x y -- after a deep one")])
    assert verdict.verdict in ("crashed", "rejected"), verdict
    assert after.proved


def test_whoever_kills_a_process_changes_no_answer() -> None:
    jobs = [LeanJob("", TRUE if n % 2 else FALSE, f"Nat.add_comm x y -- killed {n}") for n in range(60)]
    found: list[bool] = []
    with LeanPool(1, engine=lambda: Lean(remembers=False)) as pool:
        judge = pool.engines[0].judge
        assert isinstance(judge, LocalJudge)
        for verdict in pool.check(jobs):
            found.append(verdict.proved)
            if len(found) in (10, 30):
                assert judge.pid is not None
                os.kill(judge.pid, signal.SIGKILL)
    assert found == [bool(n % 2) for n in range(60)]
