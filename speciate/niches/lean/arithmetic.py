"""Families of arithmetic: two that one tactic decides, which teach its choice, and one that needs a witness."""

from random import Random

from speciate.niches.lean.binders import VALUES, hypotheses, theorem
from speciate.niches.lean.theorems import Theorem

CLOSED = 0.3
"""Share of the witnesses that are numbers; automation finds some of those."""


def linear(rng: Random) -> Theorem:
    """Linear arithmetic over Nat or Int: the goal is a sum of the hypotheses with some slack."""
    kind = rng.choice(("Nat", "Int"))
    variables = rng.sample(VALUES, rng.randint(2, 3))
    facts: dict[str, str] = {}
    total = dict.fromkeys(variables, 0)
    bound = 0
    for number in range(1, rng.randint(1, 2) + 1):
        left = {name: rng.randint(1, 4) for name in rng.sample(variables, rng.randint(1, len(variables)))}
        right = rng.randint(1, 20)
        facts[f"h{number}"] = f"{linear_sum(left)} ≤ {right}"
        weight = rng.randint(1, 2)
        for name, factor in left.items():
            total[name] += weight * factor
        bound += weight * right
    binders = hypotheses(rng, facts)
    goal = f"{linear_sum({name: factor for name, factor in total.items() if factor})} ≤ {bound + rng.randint(0, 3)}"
    return theorem("linear", f"({' '.join(variables)} : {kind})", binders, goal, "omega", [*variables, *facts])


def linear_sum(factors: dict[str, int]) -> str:
    """`2 * x + y`."""
    return " + ".join(name if factor == 1 else f"{factor} * {name}" for name, factor in factors.items())


def decidable(rng: Random) -> Theorem:
    """A closed statement about small numbers that computation decides."""
    parts = [true_fact(rng) for _ in range(rng.randint(2, 3))]
    text = parts[0]
    for part in parts[1:]:
        word = rng.choice(("∧", "∨"))
        other = part if word == "∧" or rng.random() < 0.5 else false_fact(rng)
        text = f"({text}) {word} {other}" if rng.random() < 0.5 else f"{other} {word} ({text})"
    return theorem("decidable", "", [], text, "decide", [])


def true_fact(rng: Random) -> str:
    """A true comparison, divisibility or negation of a false one."""
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    if rng.random() < 0.35:
        return f"¬ {false_fact(rng)}"
    return rng.choice((f"{a} ∣ {a * b}", f"{a * b} % {a} = 0", f"{a} < {a + b}", f"{a + b} ≠ {a}", f"{a} ≤ {a * b}"))


def false_fact(rng: Random) -> str:
    """A false comparison or divisibility; needs no brackets under a negation."""
    a, b = rng.randint(3, 9), rng.randint(2, 9)
    return rng.choice((f"{a} ∣ {a * b + rng.randint(1, a - 1)}", f"({a + b} < {a})", f"({a} = {a + b})"))


def bracketed(text: str) -> str:
    """A sum as a part of something else."""
    return f"({text})" if " " in text else text


def closed_witness(rng: Random) -> Theorem:
    """A number that must be named, where nothing but numbers is given."""
    x = rng.choice(VALUES)
    value, shift = rng.randint(1, 99), rng.randint(1, 99)
    goal, number = rng.choice(
        (
            (f"{x} + {shift} = {value + shift}", f"{value + shift} - {shift}"),
            (f"{shift} + {x} = {shift + value}", f"{shift + value} - {shift}"),
            (f"{value - 1} < {x} ∧ {x} < {value + 1}", f"{value - 1} + 1"),
        )
    )
    return Theorem("witnesses", f"theorem t : ∃ {x} : Nat, {goal}", f"exact ⟨{number}, by decide⟩", (x,))


def witnesses(rng: Random) -> Theorem:
    """A number that must be named, by an operation that undoes the goal's; its check is arithmetic."""
    if rng.random() < CLOSED:
        return closed_witness(rng)
    x, *values = rng.sample(VALUES, rng.randint(3, 5))
    cut = rng.randint(1, len(values) - 1)
    sides = [" + ".join(names) for names in (values[:cut], values[cut:])]
    left, right = (f"{side} + {rng.randint(1, 30)}" if rng.random() < 0.7 else side for side in sides)
    factor = rng.randint(2, 9)
    needed, goal, number = rng.choice(
        (
            (f"{left} ≤ {right}", f"{left} + {x} = {right}", f"{right} - {bracketed(left)}"),
            (f"{left} ≤ {right}", f"{x} + {bracketed(left)} = {right}", f"{right} - {bracketed(left)}"),
            (f"{left} + 1 < {right}", f"{left} < {x} ∧ {x} < {right}", f"{left} + 1"),
            ("", f"{left} ≤ {x} ∧ {right} ≤ {x}", f"{left} + {bracketed(right)}"),
            ("", f"{x} - {bracketed(left)} = {right}", f"{right} + {bracketed(left)}"),
            (
                "",
                f"{factor} * {x} = {factor} * {bracketed(left)} + {factor} * {bracketed(right)}",
                f"{left} + {bracketed(right)}",
            ),
        )
    )
    shown = rng.sample(values, len(values))
    facts = {"h": needed} if needed else {}
    return theorem(
        "witnesses",
        f"({' '.join(shown)} : Nat)",
        hypotheses(rng, facts),
        f"∃ {x}, {goal}",
        f"exact ⟨{number}, by omega⟩",
        [x, *shown, *facts],
    )
