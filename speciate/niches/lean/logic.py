"""Families of logic, in two readings: of propositions that hold, and of types that something can be made of.

The reading of types has the structure of the other, pairs for conjunctions, sums for disjunctions, and asks for a
program: `Nonempty (b × a)`. Lean's automation proves nearly all such propositions and next to none of such types
(evals/results/hammer), so most theorems are drawn as types.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from speciate.niches.lean.binders import (
    LETTERS,
    PREDICATES,
    VALUES,
    applied,
    build,
    hypotheses,
    link,
    random_tree,
    show_tree,
    theorem,
    walk,
)
from speciate.niches.lean.theorems import Theorem

AS_PROPOSITIONS = 0.1
"""Share of the theorems that are about propositions."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How logic is written down."""

    sort: str
    both: str
    either: str
    some: Callable[[str, str, str], str]
    """From a variable, its type and a body to the existential."""
    goal: Callable[[str], str]
    result: Callable[[str], str]
    """From the term of a goal's inside to that of the goal."""


PROPOSITIONS = Reading("Prop", "∧", "∨", lambda x, _, body: f"∃ {x}, {body}", lambda goal: goal, lambda term: term)
TYPES = Reading(
    "Type",
    "×",
    "⊕",
    lambda x, kind, body: f"({x} : {kind}) × {body}",
    lambda goal: f"Nonempty {goal}" if goal.isalnum() else f"Nonempty ({goal})",
    lambda term: f"⟨{term}⟩",
)


def reading(rng: Random) -> Reading:
    """One of the two."""
    return PROPOSITIONS if rng.random() < AS_PROPOSITIONS else TYPES


def conjunctions(rng: Random) -> Theorem:
    """From nested pairs, and perhaps a step that leads on from a part, to other pairs."""
    read = reading(rng)
    atoms = rng.sample(LETTERS, rng.randint(3, 5))
    extra = atoms.pop() if rng.random() < 0.5 else None
    given = random_tree(rng, atoms)
    facts = {"h": show_tree(given, read.both)}
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
    lines.append(f"exact {read.result(build(goal, terms))}")
    return theorem(
        "conjunctions",
        f"({' '.join(variables)} : {read.sort})",
        binders,
        read.goal(show_tree(goal, read.both)),
        "\n".join(lines),
        [*variables, *facts, *terms.values()],
    )


def equalities(rng: Random) -> Theorem:
    """A chain of equations, shuffled and partly turned round, used as rewrites in the right order."""
    read = reading(rng)
    values = rng.sample(VALUES, rng.randint(3, 5))
    turned = [rng.random() < 0.3 for _ in values[1:]]
    links = list(pairwise(values))
    sides = [(b, a) if back else (a, b) for (a, b), back in zip(links, turned, strict=True)]
    facts = {link(a, b): f"{a} = {b}" for a, b in sides}
    steps = [
        f"show {a} = {b} from {name}{'.symm' if back else ''}"
        for (a, b), name, back in zip(links, facts, turned, strict=True)
    ]
    rewrite = f"rw [{', '.join(steps)}]"
    shown = rng.sample(values, len(values))
    variables = f"({' '.join(shown)} : Nat)"
    if read is PROPOSITIONS:
        goal = f"{values[0]} = {values[-1]}"
        return theorem("equalities", variables, hypotheses(rng, facts), goal, rewrite, [*values, *facts])
    family = rng.choice(PREDICATES)
    facts["h"] = f"{family} {values[-1]}"
    return theorem(
        "equalities",
        f"{variables} ({family} : Nat → Type)",
        hypotheses(rng, facts),
        f"Nonempty ({family} {values[0]})",
        f"{rewrite}\nexact ⟨h⟩",
        [*values, *facts, family],
    )


def quantifiers(rng: Random) -> Theorem:
    """Families that lead on to one another in a chain, from an element that is given or for every element."""
    read = reading(rng)
    kind = rng.choice(("Nat", "Int", "Bool", "String"))
    predicates = rng.sample(PREDICATES, rng.randint(2, 4))
    x = rng.choice(VALUES[4:])
    facts = {link(a, b): f"∀ {x}, {a} {x} → {b} {x}" for a, b in pairwise(predicates)}
    exists = rng.random() < 0.6
    others = [name for name in PREDICATES if name not in predicates]
    side = rng.choice(others) if exists and rng.random() < 0.6 else None
    start: list[str] = []
    if exists:
        start = [f"{predicates[0]} {x}"] + ([f"{side} {x}"] if side else [])
        if rng.random() < 0.5:
            start.reverse()
        facts["h"] = read.some(x, kind, f" {read.both} ".join(start))
    binders = hypotheses(rng, facts)
    mentioned = [*predicates, side] if side else predicates
    shown = rng.sample(mentioned, len(mentioned))
    variables = f"({' '.join(shown)} : {kind} → {read.sort})"
    chosen = [*shown, *facts, x]
    steps = walk(predicates, x)
    if not exists:
        goal = f"∀ {x}, {predicates[0]} {x} → {read.goal(f'{predicates[-1]} {x}')}"
        proof = "\n".join([f"intro {x} {predicates[0]}'", *steps, f"exact {read.result('this')}"])
        return theorem("quantifiers", variables, binders, goal, proof, chosen)
    taken = [f"{part.split()[0]}'" for part in start]
    goal_parts, goal_terms = [f"{predicates[-1]} {x}"], ["this"]
    if side and rng.random() < 0.7:
        goal_parts.append(f"{side} {x}")
        goal_terms.append(f"{side}'")
        if rng.random() < 0.5:
            goal_parts.reverse()
            goal_terms.reverse()
    goal = read.goal(read.some(x, kind, f" {read.both} ".join(goal_parts)))
    lines = [f"obtain ⟨{', '.join([x, *taken])}⟩ := h", *steps]
    lines.append(f"exact {read.result('⟨' + ', '.join([x, *goal_terms]) + '⟩')}")
    return theorem("quantifiers", variables, binders, goal, "\n".join(lines), chosen)


def case_splits(rng: Random) -> Theorem:
    """Alternatives, each of which is the goal or leads to it by one step; a fact or two lead elsewhere."""
    read = reading(rng)
    goal, *others, spare = rng.sample(LETTERS, 5)
    cases = others[: rng.choice((2, 2, 2, 3))]
    useless = [(case, spare) for case in cases] + [(spare, case) for case in cases] + [(spare, goal)]
    if rng.random() < 0.4:
        cases[rng.randrange(len(cases))] = goal
    links = [(case, goal) for case in cases if case != goal]
    links += rng.sample(useless, rng.choice((0, 1, 1, 2)))
    facts = {link(a, b): f"{a} → {b}" for a, b in links}
    facts["h"] = f" {read.either} ".join(cases)
    lines = ["rcases h with " + " | ".join(f"{case}'" for case in cases)]
    for case in cases:
        term = f"{case}'" if case == goal else f"{link(case, goal)} {case}'"
        lines.append(f"· exact {read.result(term)}")
    atoms = dict.fromkeys([*cases, goal, *(atom for ends in links for atom in ends)])
    variables = rng.sample(list(atoms), len(atoms))
    return theorem(
        "case_splits",
        f"({' '.join(variables)} : {read.sort})",
        hypotheses(rng, facts),
        read.goal(goal),
        "\n".join(lines),
        [*variables, *facts],
    )


def implications(rng: Random) -> Theorem:
    """A chain of steps from what is given to the goal, the last of them perhaps to a contradiction."""
    read = reading(rng)
    atoms = rng.sample(LETTERS, rng.randint(3, 5))
    facts = {link(a, b): f"{a} → {b}" for a, b in pairwise(atoms)} | {"h": atoms[0]}
    goal, term = read.goal(atoms[-1]), read.result(applied(atoms, "h"))
    if rng.random() < 0.3:
        goal = "False"
        facts[f"not_{atoms[-1]}"] = f"¬ {atoms[-1]}" if read is PROPOSITIONS else f"{atoms[-1]} → Empty"
        term = f"not_{atoms[-1]} ({applied(atoms, 'h')})"
        term = term if read is PROPOSITIONS else f"({term}).elim"
    binders = hypotheses(rng, facts)
    variables = rng.sample(atoms, len(atoms))
    sort = f"({' '.join(variables)} : {read.sort})"
    return theorem("implications", sort, binders, goal, f"exact {term}", [*variables, *facts])


def equivalences(rng: Random) -> Theorem:
    """A way there and a way back, direct or by way of others, one fact perhaps useless."""
    read = reading(rng)
    atoms = rng.sample(LETTERS, 8)
    first, last = atoms[:2]
    there = [first, *atoms[2 : 2 + rng.choice((0, 0, 1, 2))], last]
    back = [last, *atoms[4 : 4 + rng.choice((0, 1, 1, 2))], first]
    facts = {link(a, b): f"{a} → {b}" for a, b in [*pairwise(there), *pairwise(back)]}
    if rng.random() < 0.5:
        useless = rng.choice(atoms[:2])
        facts[link(useless, atoms[7])] = f"{useless} → {atoms[7]}"
    binders = hypotheses(rng, facts)
    terms = [link(*stops) if len(stops) == 2 else f"fun h => {applied(stops, 'h')}" for stops in (there, back)]
    used = [atom for atom in atoms if any(atom in fact.split() for fact in facts.values())]
    variables = rng.sample(used, len(used))
    goal = f"{first} ↔ {last}" if read is PROPOSITIONS else f"Nonempty (({first} → {last}) × ({last} → {first}))"
    return theorem(
        "equivalences",
        f"({' '.join(variables)} : {read.sort})",
        binders,
        goal,
        f"exact {read.result('⟨' + ', '.join(terms) + '⟩')}",
        [*variables, *facts],
    )
