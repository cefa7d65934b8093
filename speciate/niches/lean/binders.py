"""What the families of theorems are written with: names, facts named by what they say, trees of a connective.

A fact is named by what it says (`h_p_q` leads from p to q), and the result of a step is `this`, so that the next fact
is the one whose name goes on from the last: a model of a few million parameters learns to follow such facts, and not to
find which of h1, h2, h3 says what (docs/log.md). Names are many, so that they are copied, not remembered.
"""

from collections.abc import Callable
from itertools import pairwise
from random import Random

from speciate.niches.lean.theorems import Theorem

Family = Callable[[Random], Theorem]

LETTERS = tuple("abcdpqrsuvwxyz")
VALUES = tuple("abcdkmnuvwxyz")
PREDICATES = tuple("PQRSABCDEG")
FUNCTIONS = tuple(first + second for first in "bcfghjklmprstvw" for second in "aeou")
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


def applied(stops: list[str], start: str) -> str:
    """The term that leads `start` from the first stop to the last, along the facts that link them."""
    term = start
    for ends in pairwise(stops):
        term = f"{link(*ends)} {term}" if term == start else f"{link(*ends)} ({term})"
    return term


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


def show_tree(tree: Tree, connective: str, top: bool = True) -> str:
    """A tree of a connective, with all its brackets."""
    if isinstance(tree, str):
        return tree
    text = f"{show_tree(tree[0], connective, False)} {connective} {show_tree(tree[1], connective, False)}"
    return text if top else f"({text})"


def build(tree: Tree, terms: dict[str, str]) -> str:
    """The term for a tree of pairs, from terms for its leaves."""
    return terms[tree] if isinstance(tree, str) else f"⟨{build(tree[0], terms)}, {build(tree[1], terms)}⟩"
