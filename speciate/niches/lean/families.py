"""The families of theorems of the niche, in core Lean 4 (no Mathlib), each with the proof that fits it.

A family is a function from a random source to a `Theorem`. What varies is the structure (which facts are given, in
which order and direction, how deep, which numbers), and the proof follows from it. Lean's own automation
(`hammer.strike`) proves less than a quarter of the theorems of any split, whatever the recipe's weights: `capped` sees
to it. Whether a proof is right is for Lean to say, not for this module.
"""

from collections.abc import Mapping, Sequence

from speciate.niches.lean.arithmetic import decidable, linear, witnesses
from speciate.niches.lean.binders import Family
from speciate.niches.lean.logic import (
    case_splits,
    conjunctions,
    equalities,
    equivalences,
    implications,
    quantifiers,
)
from speciate.niches.lean.recursion import induction, lists

FAMILIES: dict[str, Family] = {
    "conjunctions": conjunctions,
    "equalities": equalities,
    "linear": linear,
    "decidable": decidable,
    "induction": induction,
    "lists": lists,
    "quantifiers": quantifiers,
    "case_splits": case_splits,
    "witnesses": witnesses,
    "implications": implications,
    "equivalences": equivalences,
}
SOLVED: Mapping[str, float] = {
    "linear": 1.0,
    "decidable": 1.0,
    "witnesses": 0.19,
    "conjunctions": 0.1,
    "equalities": 0.1,
    "quantifiers": 0.1,
    "case_splits": 0.1,
    "implications": 0.1,
    "equivalences": 0.1,
}
"""Share of a family that Lean's own automation proves: all of some, what is about propositions of others, else none
(evals/results/hammer)."""

MOST_SOLVED = 0.2
"""Expected share of such theorems in any split, so that a sample of some hundred stays below a quarter."""

AUTOMATION = (
    "simp", "simp_all", "simpa", "dsimp", "simp_arith", "simp_all_arith", "omega", "decide", "grind", "lia", "cutsat",
    "grobner", "bv_omega", "ac_rfl", "ac_nf", "norm_cast", "norm_num", "solve_by_elim", "trivial", "aesop", "tauto",
    "ring", "linarith", "nlinarith", "positivity", "field_simp", "polyrith",
)  # fmt: skip
"""Tactics that the restricted track leaves out."""
BY_HAND = ("conjunctions", "equalities", "quantifiers", "case_splits", "implications", "equivalences")
"""Families whose proofs need none of them."""


def capped(families: Sequence[str], weights: Mapping[str, float]) -> dict[str, float] | None:
    """The weights (1 where none is given), with those of the families that automation solves lowered until no more than
    `MOST_SOLVED` of the theorems are expected to be solved by it; None where no weights do that.
    """
    found = {name: weights.get(name, 1.0) for name in families}
    easy = {name: weight for name, weight in found.items() if SOLVED.get(name, 0.0) > MOST_SOLVED}
    room = sum((MOST_SOLVED - SOLVED.get(name, 0.0)) * weight for name, weight in found.items() if name not in easy)
    excess = sum((SOLVED[name] - MOST_SOLVED) * weight for name, weight in easy.items())
    if excess <= room:
        return found
    if room <= 0:
        return None
    return {name: weight * room / excess if name in easy else weight for name, weight in found.items()}
