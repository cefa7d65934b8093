"""Families of core Lean 4 theorems with random structure (no Mathlib), each with the proof that fits it.

A family is a function from a random source to a `Theorem`. What varies is the structure (which facts are given, in
which order and direction, how deep, which numbers), and the proof follows from it: a fixed one-line tactic does not
solve a family, `linear` and `decidable` aside, which teach the choice of tactic. A fact is named by what it says
(`h_p_q : p → q`), and the result of a step is `this` (`have := h_p_q p'`), so that the next fact is the one whose name
goes on from the last: a model of a few million parameters learns to follow such facts, and not to find which of h1,
h2, h3 says what (docs/log.md). Names of functions are many, so that they are copied, not remembered.
Whether a proof is right is for Lean to say, not for this module.
"""

from collections.abc import Callable
from itertools import pairwise
from random import Random

from speciate.niches.lean.theorems import Theorem

Family = Callable[[Random], Theorem]

PROPOSITIONS = tuple("abcdpqrsuvwxyz")
VALUES = tuple("abcdkmnuvwxyz")
PREDICATES = tuple("PQRSABCDEG")
FUNCTIONS = tuple(first + second for first in "bcfghjklmprstvw" for second in "aeou")

MOST_LINKS = 5
"""Implications of one theorem: with more, its row is too long for the context of a small base."""

LIST_NAMES = (("x", "y", "xs", "ys"), ("a", "b", "l", "m"), ("u", "v", "us", "vs"), ("k", "j", "ks", "js"))

Tree = str | tuple["Tree", "Tree"]


def hypotheses(rng: Random, facts: dict[str, str]) -> list[str]:
    """The binders of named facts, in a random order."""
    return [f"({name} : {facts[name]})" for name in rng.sample(list(facts), len(facts))]


def link(first: str, second: str) -> str:
    """The name of a fact that leads from one thing to another."""
    return f"h_{first}_{second}"


def walk(stops: list[str], element: str = "") -> list[str]:
    """The steps from the first stop to the last, along the facts that link them; each shows `this`."""
    links = list(pairwise(stops))
    facts = [f"{first}'" if place == 0 else "this" for place, (first, _) in enumerate(links)]
    at = f" {element}" if element else ""
    return [f"have := {link(*ends)}{at} {fact}" for ends, fact in zip(links, facts, strict=True)]


def theorem(family: str, variables: str, binders: list[str], goal: str, proof: str, names: list[str]) -> Theorem:
    """A theorem `t` whose binders are the variables and then the hypotheses."""
    statement = " ".join(["theorem t", variables, *binders]).rstrip() + f" : {goal}"
    return Theorem(family, statement, proof, tuple(names))


def random_tree(rng: Random, leaves: list[str]) -> Tree:
    """A random binary tree over `leaves` in their order."""
    if len(leaves) == 1:
        return leaves[0]
    cut = rng.randint(1, len(leaves) - 1)
    return random_tree(rng, leaves[:cut]), random_tree(rng, leaves[cut:])


def show_tree(tree: Tree, top: bool = True) -> str:
    """A tree as a conjunction with all its brackets."""
    if isinstance(tree, str):
        return tree
    text = f"{show_tree(tree[0], False)} ∧ {show_tree(tree[1], False)}"
    return text if top else f"({text})"


def build(tree: Tree, terms: dict[str, str]) -> str:
    """The term that proves a conjunction, from terms for its leaves."""
    return terms[tree] if isinstance(tree, str) else f"⟨{build(tree[0], terms)}, {build(tree[1], terms)}⟩"


def conjunctions(rng: Random) -> Theorem:
    """From a nested conjunction, and perhaps an implication, to another one."""
    atoms = rng.sample(PROPOSITIONS, rng.randint(3, 5))
    extra = atoms.pop() if rng.random() < 0.5 else None
    given = random_tree(rng, atoms)
    facts = {"h": show_tree(given)}
    source = rng.choice(atoms)
    if extra is not None:
        facts[link(source, extra)] = f"{source} → {extra}"
    binders = hypotheses(rng, facts)
    terms = {atom: f"{atom}'" for atom in [*atoms, *([extra] if extra else [])]}
    lines = [f"obtain {build(given, terms)} := h"]
    wanted = rng.sample(atoms, rng.randint(1, min(3, len(atoms))))
    if extra is not None:
        lines.append(f"have {extra}' : {extra} := {link(source, extra)} {source}'")
        wanted[rng.randrange(len(wanted))] = extra
    goal = random_tree(rng, wanted)
    variables = rng.sample(list(terms), len(terms))
    lines.append(f"exact {build(goal, terms)}")
    return theorem(
        "conjunctions",
        f"({' '.join(variables)} : Prop)",
        binders,
        show_tree(goal),
        "\n".join(lines),
        [*variables, *facts, *terms.values()],
    )


def equalities(rng: Random) -> Theorem:
    """A chain of equations, shuffled and partly turned round, used as rewrites in the right order."""
    values = rng.sample(VALUES, rng.randint(3, 5))
    turned = [rng.random() < 0.3 for _ in values[1:]]
    links = list(pairwise(values))
    sides = [(b, a) if back else (a, b) for (a, b), back in zip(links, turned, strict=True)]
    facts = {link(a, b): f"{a} = {b}" for a, b in sides}
    binders = hypotheses(rng, facts)
    steps = [
        f"show {a} = {b} from {name}{'.symm' if back else ''}"
        for (a, b), name, back in zip(links, facts, turned, strict=True)
    ]
    shown = rng.sample(values, len(values))
    goal = f"{values[0]} = {values[-1]}"
    return theorem(
        "equalities", f"({' '.join(shown)} : Nat)", binders, goal, f"rw [{', '.join(steps)}]", [*values, *facts]
    )


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


def induction(rng: Random) -> Theorem:
    """A recursive function on Nat and what it computes or is bounded by."""
    name, n = rng.choice(FUNCTIONS), rng.choice(VALUES[4:])
    start, step = rng.randint(0, 19), rng.randint(1, 12)
    preamble = f"def {name} : Nat → Nat\n  | 0 => {start}\n  | {n} + 1 => {name} {n} + {step}"
    product, shifted = f"{step} * {n}" if step > 1 else n, f" + {start}" if start else ""
    low, more = rng.randint(0, start), rng.randint(1, 9)
    goal = rng.choice(
        (
            f"{name} {n} = {product}{shifted}",
            f"{low} ≤ {name} {n}",
            f"{name} {n} + {more} = {product} + {start + more}",
            f"{product} ≤ {name} {n}",
        )
    )
    proof = f"induction {n} with\n| zero => simp [{name}]\n| succ {n} ih => simp only [{name}]; omega"
    return Theorem("induction", f"theorem t ({n} : Nat) : {goal}", proof, (name, n), preamble)


def lists(rng: Random) -> Theorem:
    """A recursive function on lists: what it makes of an append, or of a list with known first elements."""
    name = rng.choice(FUNCTIONS)
    x, y, xs, ys = rng.choice(LIST_NAMES)
    factor, step = rng.randint(0, 9), rng.randint(1, 12)
    head = {0: "", 1: f"{x} + "}.get(factor, f"{factor} * {x} + ")
    tail = f" + {step}" if factor == 0 or rng.random() < 0.5 else ""
    bound = x if factor else "_"
    preamble = f"def {name} : List Nat → Nat\n  | [] => 0\n  | {bound} :: {xs} => {head}{name} {xs}{tail}"
    names = (name, x, y, xs, ys)
    if rng.random() < 0.5:
        statement = f"theorem t ({xs} {ys} : List Nat) : {name} ({xs} ++ {ys}) = {name} {xs} + {name} {ys}"
        proof = (
            f"induction {xs} with\n| nil => simp [{name}]\n"
            f"| cons {x} {xs} ih => simp only [List.cons_append, {name}, ih]; omega"
        )
        return Theorem("lists", statement, proof, names, preamble)
    shown = [x, y] if rng.random() < 0.5 else [x]
    value = f"{name} {xs}"
    for element in reversed(shown):
        value = {0: "", 1: f"{element} + "}.get(factor, f"{factor} * {element} + ") + f"({value}{tail})"
    more = rng.randint(1, 9)
    statement = (
        f"theorem t ({' '.join(shown)} : Nat) ({xs} : List Nat) : "
        f"{name} ({' :: '.join([*shown, xs])}) + {more} = {more} + ({value})"
    )
    return Theorem("lists", statement, f"simp only [{name}]; omega", names, preamble)


def quantifiers(rng: Random) -> Theorem:
    """Predicates that imply one another in a chain, from an existing element or for every element."""
    kind = rng.choice(("Nat", "Int", "Bool", "String"))
    predicates = rng.sample(PREDICATES, rng.randint(2, 4))
    x = rng.choice(VALUES[4:])
    links = list(pairwise(predicates))
    facts = {link(a, b): f"∀ {x}, {a} {x} → {b} {x}" for a, b in links}
    exists = rng.random() < 0.6
    others = [name for name in PREDICATES if name not in predicates]
    side = rng.choice(others) if exists and rng.random() < 0.6 else None
    turned = side is not None and rng.random() < 0.5
    start: list[str] = []
    if exists:
        start = [f"{predicates[0]} {x}"] + ([f"{side} {x}"] if side else [])
        start = start[::-1] if turned else start
        facts["h"] = f"∃ {x}, {' ∧ '.join(start)}"
    binders = hypotheses(rng, facts)
    mentioned = [*predicates, side] if side else predicates
    shown = rng.sample(mentioned, len(mentioned))
    variables = f"({' '.join(shown)} : {kind} → Prop)"
    chosen = [*shown, *facts, x]
    steps = walk(predicates, x)
    if not exists:
        goal = f"∀ {x}, {predicates[0]} {x} → {predicates[-1]} {x}"
        proof = "\n".join([f"intro {x} {predicates[0]}'", *steps, "exact this"])
        return theorem("quantifiers", variables, binders, goal, proof, chosen)
    taken = [f"{part.split()[0]}'" for part in start]
    goal_parts, goal_terms = [f"{predicates[-1]} {x}"], ["this"]
    if side and rng.random() < 0.7:
        goal_parts.append(f"{side} {x}")
        goal_terms.append(f"{side}'")
        if rng.random() < 0.5:
            goal_parts.reverse()
            goal_terms.reverse()
    goal = f"∃ {x}, {' ∧ '.join(goal_parts)}"
    lines = [f"obtain ⟨{', '.join([x, *taken])}⟩ := h", *steps]
    lines.append(f"exact ⟨{', '.join([x, *goal_terms])}⟩")
    return theorem("quantifiers", variables, binders, goal, "\n".join(lines), chosen)


def case_splits(rng: Random) -> Theorem:
    """A disjunction whose every case leads to the goal, by no, one or two implications."""
    atoms = rng.sample(PROPOSITIONS, 8)
    goal, spare = atoms.pop(), atoms
    cases: list[str] = []
    facts: dict[str, str] = {}
    routes: list[list[str]] = []
    for _ in range(rng.randint(2, 3)):
        steps = rng.choice((0, 1, 1, 2, 2)) if goal not in cases else rng.choice((1, 2))
        steps = min(steps, MOST_LINKS - len(facts))
        stops = [spare.pop() for _ in range(steps)] + [goal]
        cases.append(stops[0])
        routes.append(stops)
        facts |= {link(a, b): f"{a} → {b}" for a, b in pairwise(stops)}
    facts["h"] = " ∨ ".join(cases)
    binders = hypotheses(rng, facts)
    lines = ["rcases h with " + " | ".join(f"{case}'" for case in cases)]
    for stops in routes:
        bullet = [*walk(stops), "exact this" if len(stops) > 1 else f"exact {goal}'"]
        lines += [f"· {bullet[0]}", *(f"  {line}" for line in bullet[1:])]
    used = [atom for atom in PROPOSITIONS if any(atom in fact.split() for fact in [*facts.values(), goal])]
    variables = rng.sample(used, len(used))
    return theorem(
        "case_splits", f"({' '.join(variables)} : Prop)", binders, goal, "\n".join(lines), [*variables, *facts]
    )


def witnesses(rng: Random) -> Theorem:
    """A number that must be found by an operation that undoes the goal's, then checked."""
    x = rng.choice(VALUES)
    value, shift = rng.randint(1, 99), rng.randint(1, 99)
    factor, other = rng.randint(2, 9), rng.randint(11, 99)
    goal, number = rng.choice(
        (
            (f"{x} + {shift} = {value + shift}", f"{value + shift} - {shift}"),
            (f"{shift} + {x} = {shift + value}", f"{shift + value} - {shift}"),
            (f"{x} - {shift} = {value}", f"{value} + {shift}"),
            (f"{x} = {other} * {factor}", f"{other} * {factor}"),
            (f"{factor} * {x} = {factor * other}", f"{factor * other} / {factor}"),
            (f"{value - 1} < {x} ∧ {x} < {value + 1}", f"{value - 1} + 1"),
        )
    )
    return Theorem("witnesses", f"theorem t : ∃ {x} : Nat, {goal}", f"exact ⟨{number}, by decide⟩", (x,))


def implications(rng: Random) -> Theorem:
    """A chain of implications from a given fact to the goal, one of them perhaps a negation."""
    atoms = rng.sample(PROPOSITIONS, rng.randint(3, 5))
    links = list(pairwise(atoms))
    facts = {link(a, b): f"{a} → {b}" for a, b in links} | {"h": atoms[0]}
    negated = rng.random() < 0.3
    goal = "False" if negated else atoms[-1]
    if negated:
        facts[f"not_{atoms[-1]}"] = f"¬ {atoms[-1]}"
    binders = hypotheses(rng, facts)
    term = "h"
    for depth, (a, b) in enumerate(links):
        term = f"{link(a, b)} ({term})" if depth else f"{link(a, b)} {term}"
    if negated:
        term = f"not_{atoms[-1]} ({term})"
    variables = rng.sample(atoms, len(atoms))
    return theorem(
        "implications", f"({' '.join(variables)} : Prop)", binders, goal, f"exact {term}", [*variables, *facts]
    )


def equivalences(rng: Random) -> Theorem:
    """An equivalence from implications both ways, direct or by way of other propositions, one fact perhaps useless."""
    atoms = rng.sample(PROPOSITIONS, 8)
    first, last = atoms[:2]
    there = [first, *atoms[2 : 2 + rng.choice((0, 0, 1, 2))], last]
    back = [last, *atoms[4 : 4 + rng.choice((0, 1, 1, 2))], first]
    links = [*pairwise(there), *pairwise(back)]
    facts = {link(a, b): f"{a} → {b}" for a, b in links}
    if rng.random() < 0.5:
        useless = rng.choice(atoms[:2])
        facts[link(useless, atoms[7])] = f"{useless} → {atoms[7]}"
    binders = hypotheses(rng, facts)
    terms: list[str] = []
    for stops in (there, back):
        route = [link(a, b) for a, b in pairwise(stops)]
        term = "h"
        for name in route:
            term = f"{name} {term}" if term == "h" else f"{name} ({term})"
        terms.append(route[0] if len(route) == 1 else f"fun h => {term}")
    used = [atom for atom in atoms if any(atom in fact.split() for fact in facts.values())]
    variables = rng.sample(used, len(used))
    return theorem(
        "equivalences",
        f"({' '.join(variables)} : Prop)",
        binders,
        f"{first} ↔ {last}",
        f"exact ⟨{', '.join(terms)}⟩",
        [*variables, *facts],
    )


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
