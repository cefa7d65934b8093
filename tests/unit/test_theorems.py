"""Canonical statements: names and the order of variables do not count, everything else does."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.niches.lean.families import FAMILIES
from speciate.niches.lean.niche import proof_in
from speciate.niches.lean.theorems import IDENTIFIER, Theorem, canonical


@pytest.mark.parametrize("family", FAMILIES)
@given(seed=st.integers(0, 10**6))
def test_renaming_keeps_the_digest(family: str, seed: int) -> None:
    found = FAMILIES[family](Random(seed))
    fresh = {name: f"zz{index}" for index, name in enumerate(sorted(found.names, reverse=True))}

    def renamed(text: str) -> str:
        head, name, rest = text.partition("theorem t ") if "theorem t " in text else (text, "", "")
        swap = re.compile(IDENTIFIER.pattern)
        return "".join(
            swap.sub(lambda match: fresh.get(match.group(), match.group()), part) if part != name else part
            for part in (head, name, rest)
        )

    other = Theorem(found.family, renamed(found.statement), found.proof, tuple(fresh.values()), renamed(found.preamble))
    assert other.digest == found.digest


def test_the_order_of_variables_does_not_count() -> None:
    one = Theorem("f", "theorem t (p q : Prop) (h1 : p ∧ q) : q", "exact h1.2", ("p", "q", "h1"))
    two = Theorem("f", "theorem t (q p : Prop) (h1 : p ∧ q) : q", "exact h1.2", ("p", "q", "h1"))
    assert one.digest == two.digest


@pytest.mark.parametrize(
    "statement",
    [
        "theorem t (p q : Prop) (h1 : p ∧ q) : p",
        "theorem t (p q : Prop) (h1 : q ∧ p) : p ∧ q",
        "theorem t (p q : Bool) (h1 : p ∧ q) : q",
        "theorem t (p q r : Prop) (h1 : p ∧ q) : q",
    ],
)
def test_what_a_theorem_says_counts(statement: str) -> None:
    names = ("p", "q", "r", "h1")
    assert (
        Theorem("f", statement, "", names).digest
        != Theorem("f", "theorem t (p q : Prop) (h1 : p ∧ q) : q", "", names).digest
    )


def test_canonical_form_leaves_words_of_the_language_alone() -> None:
    assert canonical("def f : Nat → Nat\n  | 0 => 1", ("f",)) == "def x0 : Nat → Nat | 0 => 1"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_random_structure(family: str) -> None:
    rng = Random(family)
    made = [FAMILIES[family](rng) for _ in range(400)]
    assert len({theorem.digest for theorem in made}) > 120, "fixed strings are no family"
    assert all(theorem.family == family for theorem in made)


@pytest.mark.parametrize(
    ("answer", "proof"),
    [
        ("exact h", "exact h"),
        ("\n  intro h\n  exact h\n", "  intro h\n  exact h"),
        ("Here is a proof:\n```lean\nexact h\n```\nDone.", "exact h"),
        ("```\nexact h", "```\nexact h"),
    ],
)
def test_proof_in_an_answer(answer: str, proof: str) -> None:
    assert proof_in(answer) == proof
