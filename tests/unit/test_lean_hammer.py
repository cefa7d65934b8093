"""The hammer's list of tactics, and the cap on what it solves. No Lean runs."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.niches.lean.families import AUTOMATION, BY_HAND, FAMILIES, MOST_SOLVED, SOLVED, capped
from speciate.niches.lean.gate import refusal
from speciate.niches.lean.hammer import strike, tactics
from speciate.niches.lean.verdict import LeanJob, LeanVerdict

CONTEXT = """inductive Even : Nat → Prop where
  | zero : Even 0
  | step (n : Nat) : Even n → Even (n + 2)
@[simp] def twice (n : Nat) := n + n
theorem easy : 1 = 1 := rfl
"""


def job(statement: str, context: str = "") -> LeanJob:
    return LeanJob(context, statement, "sorry")


def test_without_a_context_the_plain_tactics_are_tried() -> None:
    assert tactics(job("theorem t : 1 = 1")) == ["rfl", "decide", "omega", "simp", "simp_all", "grind"]


def test_what_the_context_defines_is_named() -> None:
    found = tactics(job("theorem t (n : Nat) (h : Even n) (xs : List Nat) (p : Prop) (f : Nat → Nat) : p", CONTEXT))
    assert "simp [twice, easy]" in found
    assert "grind [twice, easy]" in found
    assert "grind [twice, easy, Even.zero, Even.step]" in found
    inductions = [tactic for tactic in found if tactic.startswith("induction")]
    assert inductions == [f"induction {name} <;> grind [twice, easy]" for name in ("n", "h", "xs")]


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_breaks_it_and_its_proofs_pass_the_gate(statement: str, context: str) -> None:
    for tactic in tactics(job(f"theorem t {statement}", context))[:6]:
        assert refusal(LeanJob("", "theorem t : True", f"by {tactic.partition('[')[0]}")) is None


def test_the_first_that_proves_is_told() -> None:
    def check(jobs: Iterable[LeanJob]) -> Iterator[LeanVerdict]:
        for asked in jobs:
            proofs = [asked.proof, *asked.others]
            if "broken" in asked.statement:
                yield LeanVerdict("rejected", "statement", "no", 1.0)
            elif "hard" in asked.statement:
                yield LeanVerdict("rejected", "error", "no", 5.0)
            else:
                yield LeanVerdict("accepted", "", "", 2.0, place=proofs.index("by omega"))

    found = list(strike([job("theorem easy : p"), job("theorem hard : p"), job("theorem broken : p")], check))
    assert [one.tactic for one in found] == ["omega", "", ""]
    assert [bool(one.problem) for one in found] == [False, False, True]


def expected(weights: dict[str, float]) -> float:
    return sum(SOLVED.get(name, 0.0) * weight for name, weight in weights.items()) / sum(weights.values())


@given(
    st.sets(st.sampled_from(sorted(FAMILIES)), min_size=1),
    st.dictionaries(st.sampled_from(sorted(FAMILIES)), st.floats(0.01, 100)),
)
def test_whatever_the_weights_a_fifth_is_expected_to_be_solved_at_most(
    chosen: set[str], weights: dict[str, float]
) -> None:
    families = sorted(chosen)
    found = capped(families, weights)
    if found is None:
        assert all(SOLVED.get(name, 0.0) > MOST_SOLVED for name in families)
        return
    assert list(found) == families
    assert expected(found) <= MOST_SOLVED + 1e-9
    for name in families:
        wanted = weights.get(name, 1.0)
        assert found[name] == wanted or (SOLVED.get(name, 0.0) > MOST_SOLVED and 0 < found[name] < wanted)


def test_weights_within_the_cap_stay() -> None:
    assert capped(["conjunctions", "lists"], {"lists": 3.0}) == {"conjunctions": 1.0, "lists": 3.0}


@pytest.mark.parametrize("family", BY_HAND)
def test_families_of_the_restricted_track_are_known(family: str) -> None:
    assert family in FAMILIES
    assert {"simp", "omega", "decide", "grind"} <= set(AUTOMATION)
