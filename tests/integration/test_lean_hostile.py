"""Random and malformed proofs, and workers that somebody kills: every request is answered, and answered right."""

import os
import signal
import threading
import time
from random import Random

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
WORDS = (
    "by",
    "exact",
    "(",
    ")",
    "⟨",
    "⟩",
    "rfl",
    "fun x =>",
    "\n",
    "  ",
    "·",
    "have",
    ":=",
    "show",
    "0",
    "∀",
    "|",
    "_",
)

malformed = st.one_of(
    st.binary(max_size=200).map(lambda found: found.decode("utf-8", errors="surrogateescape")),
    st.text(max_size=100),
    st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join),
    st.integers(0, 220).map(lambda depth: "by exact " + "(" * depth + "rfl" + ")" * depth),
    st.integers(0, 50).map(lambda cut: "by\n  induction x with\n  | zero => simp\n  | succ x ih => omega"[:cut]),
)


@given(malformed)
@settings(
    max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_malformed_proof_is_accepted_or_ends_the_process(lean: Lean, proof: str) -> None:
    verdict = next(lean.check([LeanJob("", FALSE, proof)]))
    assert verdict.verdict in ("rejected", "timeout"), verdict
    assert lean.is_running


@pytest.mark.parametrize(
    "proof",
    ["by rfl\0", "by " + "x" * 1_000_000, "-- " + "y" * 1_000_000, "\udcff\udcfe", "by\n" + "  skip\n" * 5000],
    ids=["nul", "one long word", "one long comment", "no UTF-8", "many lines"],
)
def test_a_proof_of_a_strange_size_or_alphabet_is_refused(lean: Lean, proof: str) -> None:
    assert next(lean.check([LeanJob("", FALSE, proof)])).verdict == "rejected"


def test_a_proof_that_crashes_the_parser_costs_only_itself(lean: Lean) -> None:
    deep = LeanJob("", FALSE, "by exact " + "- " * 3000 + "rfl")
    verdict, after = lean.check([deep, LeanJob("", TRUE, "Nat.add_comm x y -- after a deep one")])
    assert verdict.verdict in ("crashed", "rejected"), verdict
    assert after.proved


def test_whoever_kills_the_processes_changes_no_answer() -> None:
    rng, over, killed = Random(0), threading.Event(), 0
    jobs = [LeanJob("", TRUE if n % 2 else FALSE, f"Nat.add_comm x y -- killed {n}") for n in range(400)]
    with LeanPool(2, engine=lambda: Lean(remembers=False)) as pool:

        def kill() -> None:
            nonlocal killed
            while not over.wait(2.0):
                judges = [engine.judge for engine in pool.engines]
                alive = [judge.pid for judge in judges if isinstance(judge, LocalJudge) and judge.pid]
                if alive:
                    os.kill(rng.choice(alive), signal.SIGKILL)
                    killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            found = list(pool.check(jobs))
            # The answers may all be there before the first kill; some more are asked for after one.
            while not killed:
                time.sleep(0.1)
            found += list(pool.check(jobs[:20]))
        finally:
            over.set()
            killer.join()
    assert [one.proved for one in found] == [bool(n % 2) for n in range(400)] + [bool(n % 2) for n in range(20)]
    assert killed >= 1
