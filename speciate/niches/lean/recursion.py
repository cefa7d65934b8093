"""Families about functions with an accumulator: what they compute is proved by induction over a generalized goal."""

from random import Random

from speciate.niches.lean.binders import FUNCTIONS, LIST_NAMES, VALUES
from speciate.niches.lean.theorems import Theorem


def induction(rng: Random) -> Theorem:
    """A function that counts a number down and a sum up: what it computes, or bounds of it."""
    name = rng.choice(FUNCTIONS)
    n, m = rng.sample(VALUES[4:], 2)
    start, step = rng.randint(0, 19), rng.randint(1, 12)
    last = f"{m} + {start}" if start else m
    context = f"def {name} : Nat → Nat → Nat\n  | 0, {m} => {last}\n  | {n} + 1, {m} => {name} {n} ({m} + {step})"
    product = f"{step} * {n}" if step > 1 else n
    more = rng.randint(1, 9)
    goal = rng.choice(
        (
            f"{name} {n} {m} = {m} + {product}{f' + {start}' if start else ''}",
            f"{m} ≤ {name} {n} {m}",
            f"{m} + {product} ≤ {name} {n} {m}",
            f"{name} {n} {m} + {more} = {product} + {m}{f' + {start + more}' if start else f' + {more}'}",
        )
    )
    proof = (
        f"induction {n} generalizing {m} with\n| zero => unfold {name}; omega\n"
        f"| succ {n} ih => have := ih ({m} + {step}); unfold {name}; omega"
    )
    return Theorem("induction", f"theorem t ({n} {m} : Nat) : {goal}", proof, (name, n, m), context)


def lists(rng: Random) -> Theorem:
    """A function that runs along a list and keeps a sum: what it makes of two lists, and a bound of it."""
    name, keep = rng.choice(FUNCTIONS), rng.choice(("n", "s", "t", "w"))
    x, _, xs, ys = rng.choice(LIST_NAMES)
    factor, step = rng.randint(0, 9), rng.randint(1, 12)
    term = {0: "", 1: f" + {x}"}.get(factor, f" + {factor} * {x}")
    tail = f" + {step}" if factor == 0 or rng.random() < 0.5 else ""
    added = f"{keep}{term}{tail}"
    bound = x if factor else "_"
    cases = f"  | [], {keep} => {keep}\n  | {bound} :: {xs}, {keep} => {name} {xs} ({added})"
    context = f"def {name} : List Nat → Nat → Nat\n{cases}"
    names = (name, x, xs, ys, keep)
    if rng.random() < 0.5:
        statement = (
            f"theorem t ({xs} {ys} : List Nat) ({keep} : Nat) : "
            f"{name} ({xs} ++ {ys}) {keep} = {name} {ys} ({name} {xs} {keep})"
        )
        proof = (
            f"induction {xs} generalizing {keep} with\n| nil => rfl\n"
            f"| cons {x} {xs} ih => simp only [List.cons_append, {name}, ih]"
        )
        return Theorem("lists", statement, proof, names, context)
    more = rng.randint(0, 9)
    low, high = (
        (f"{keep}", f"{name} {xs} {keep}") if more == 0 else (f"{keep} + {more}", f"{name} {xs} {keep} + {more}")
    )
    proof = (
        f"induction {xs} generalizing {keep} with\n| nil => unfold {name}; omega\n"
        f"| cons {x} {xs} ih => have := ih ({added}); unfold {name}; omega"
    )
    return Theorem("lists", f"theorem t ({xs} : List Nat) ({keep} : Nat) : {low} ≤ {high}", proof, names, context)
