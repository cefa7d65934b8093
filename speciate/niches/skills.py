"""General skills: small checkable tasks that a generalist base has learned and a species must not forget.

Each skill is one function from a random source to a question and its only answer; an answer is right when it equals
that text. One tenth of all possible items, chosen by digest, is held out: the base never trains on them, and every
evaluation uses them alone. Knows nothing of models or of how a suite is sampled.
"""

import string
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from random import Random
from types import TracebackType
from typing import Self

from speciate.niches.base import Item, Verdict
from speciate.storage import digest_json

Skill = Callable[[Random], tuple[str, str]]


def letters(rng: Random, low: int, high: int, alphabet: str = string.ascii_lowercase) -> list[str]:
    """Between `low` and `high` letters, repeats allowed."""
    return rng.choices(alphabet, k=rng.randint(low, high))


def sums(rng: Random) -> tuple[str, str]:
    """Sum of two numbers of one to three digits."""
    a, b = (rng.randrange(10 ** rng.randint(1, 3)) for _ in range(2))
    return f"What is {a} + {b}?", str(a + b)


def differences(rng: Random) -> tuple[str, str]:
    """Difference of two numbers of one to three digits; never negative."""
    a, b = sorted((rng.randrange(10 ** rng.randint(1, 3)) for _ in range(2)), reverse=True)
    return f"What is {a} - {b}?", str(a - b)


def products(rng: Random) -> tuple[str, str]:
    """A number of two or three digits times one digit."""
    a, b = rng.randrange(10, 10 ** rng.randint(2, 3)), rng.randint(2, 9)
    return f"What is {a} * {b}?", str(a * b)


def equations(rng: Random) -> tuple[str, str]:
    """A small equation and the number that solves it."""
    x = rng.choice(string.ascii_lowercase)
    a, b = rng.randrange(100), rng.randrange(1, 100)
    text, value = rng.choice(
        (
            (f"{x} + {b} = {a + b}", a),
            (f"{b} + {x} = {a + b}", a),
            (f"{x} - {b} = {a}", a + b),
            (f"{x} = {a} + {b}", a + b),
            (f"{x} = {a} * {b % 9 + 1}", a * (b % 9 + 1)),
        )
    )
    return f"Solve: {text}", str(value)


def remainders(rng: Random) -> tuple[str, str]:
    """Remainder of a number of two or three digits by one digit."""
    a, b = rng.randrange(10, 10 ** rng.randint(2, 3)), rng.choice((2, 3, 4, 5, 9))
    return f"What is {a} mod {b}?", str(a % b)


def reversal(rng: Random) -> tuple[str, str]:
    """A list of letters, backwards."""
    row = letters(rng, 1, 9)
    return f"Reverse: {' '.join(row)}", " ".join(reversed(row))


def sorting(rng: Random) -> tuple[str, str]:
    """Numbers of up to two digits in rising order."""
    row = [rng.randrange(100) for _ in range(rng.randint(2, 6))]
    return f"Sort: {' '.join(map(str, row))}", " ".join(map(str, sorted(row)))


def counting(rng: Random) -> tuple[str, str]:
    """How often a letter occurs in a list."""
    alphabet = "".join(rng.sample(string.ascii_lowercase, 3))
    row = letters(rng, 2, 9, alphabet)
    return f"How many {alphabet[0]} in: {' '.join(row)}?", str(row.count(alphabet[0]))


def sequences(rng: Random) -> tuple[str, str]:
    """Next term of an arithmetic progression, rising or falling."""
    start, step = rng.randrange(100), rng.choice([s for s in range(-9, 13) if s])
    if start + 4 * step < 0:
        step = -step
    return f"Next: {' '.join(str(start + i * step) for i in range(4))}", str(start + 4 * step)


def comparison(rng: Random) -> tuple[str, str]:
    """The larger of two different numbers, often of equal length."""
    a = rng.randrange(10, 1000)
    b = rng.randrange(10, 1000)
    if rng.random() < 0.5:
        b = max(0, a + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10)))
    b += a == b
    return f"Which is larger, {a} or {b}?", str(max(a, b))


def extremes(rng: Random) -> tuple[str, str]:
    """Smallest or largest of several numbers."""
    row = [rng.randrange(100) for _ in range(rng.randint(3, 6))]
    word, pick = rng.choice((("Smallest", min), ("Largest", max)))
    return f"{word} of: {' '.join(map(str, row))}", str(pick(row))


def octal(rng: Random) -> tuple[str, str]:
    """Binary to octal."""
    number = rng.randrange(8, 4096)
    return f"Write binary {number:b} in octal.", f"{number:o}"


def parity(rng: Random) -> tuple[str, str]:
    """Whether a row of bits has an even or an odd number of ones."""
    bits = rng.choices("01", k=rng.randint(2, 10))
    return f"Is the number of ones even or odd: {' '.join(bits)}?", "odd" if bits.count("1") % 2 else "even"


def logic(rng: Random) -> tuple[str, str]:
    """Value of a Boolean expression with brackets."""
    text, value = expression(rng, rng.randint(1, 3))
    return f"True or false: {text}", "true" if value else "false"


def expression(rng: Random, depth: int) -> tuple[str, bool]:
    """A random Boolean expression of at most `depth` operators on a path, and its value."""
    if depth == 0:
        value = rng.random() < 0.5
        return ("T" if value else "F"), value
    if rng.random() < 0.25:
        text, value = expression(rng, depth - 1)
        return f"not {text}", not value
    (left, a), (right, b) = expression(rng, depth - 1), expression(rng, rng.randrange(depth))
    word, value = rng.choice((("and", a and b), ("or", a or b), ("xor", a != b)))
    return f"({left} {word} {right})", value


def deletion(rng: Random) -> tuple[str, str]:
    """A list without one of its letters."""
    alphabet = rng.sample(string.ascii_lowercase, 4)
    row = letters(rng, 2, 9, "".join(alphabet))
    kept = [letter for letter in row if letter != alphabet[0]]
    return f"Remove {alphabet[0]} from: {' '.join(row)}", " ".join(kept) or "nothing"


def copying(rng: Random) -> tuple[str, str]:
    """A list of letters, as it is."""
    row = letters(rng, 2, 10)
    return f"Copy: {' '.join(row)}", " ".join(row)


def lookup(rng: Random) -> tuple[str, str]:
    """Values of one to four keys in a small table."""
    keys = rng.sample(string.ascii_lowercase, rng.randint(2, 6))
    table = {key: str(rng.randrange(100)) for key in keys}
    asked = rng.choices(keys, k=rng.randint(1, 4))
    rows = ", ".join(f"{key} = {value}" for key, value in table.items())
    return f"{rows}. What is {' '.join(asked)}?", " ".join(table[key] for key in asked)


def paths(rng: Random) -> tuple[str, str]:
    """The nodes on a path of shuffled arrows."""
    nodes = rng.sample(string.ascii_lowercase, rng.randint(2, 6))
    arrows = [f"{a} > {b}" for a, b in pairwise(nodes)]
    rng.shuffle(arrows)
    return f"{', '.join(arrows)}. Path from {nodes[0]} to {nodes[-1]}?", " ".join(nodes[1:])


def roads(rng: Random) -> tuple[str, str]:
    """The numbers of the roads on a path, where a road may be named from either end."""
    nodes = rng.sample(string.ascii_lowercase, rng.randint(2, 6))
    ends = [rng.sample(pair, 2) for pair in pairwise(nodes)]
    order = rng.sample(range(len(ends)), len(ends))
    number = {index: place for place, index in enumerate(order, 1)}
    rows = ", ".join(f"{number[index]}: {ends[index][0]} - {ends[index][1]}" for index in order)
    return f"{rows}. Roads from {nodes[0]} to {nodes[-1]}?", " ".join(str(number[index]) for index in range(len(ends)))


SKILLS: dict[str, Skill] = {
    "sums": sums,
    "differences": differences,
    "products": products,
    "equations": equations,
    "remainders": remainders,
    "reversal": reversal,
    "sorting": sorting,
    "counting": counting,
    "sequences": sequences,
    "comparison": comparison,
    "extremes": extremes,
    "octal": octal,
    "parity": parity,
    "logic": logic,
    "deletion": deletion,
    "copying": copying,
    "lookup": lookup,
    "paths": paths,
    "roads": roads,
}

# Share of right answers of a guesser who knows the form of the answer; 0 where the answers are many.
CHANCE: dict[str, float] = {"comparison": 0.5, "parity": 0.5, "logic": 0.5}


PATIENCE = 20
"""Repeats in a row, for each item found, after which a skill is said to have no more."""


def item(name: str, rng: Random) -> Item:
    """One item of a skill."""
    question, answer = SKILLS[name](rng)
    return Item(name, question, answer, digest_json([name, question]))


def held_out(item: Item) -> bool:
    """True for the tenth of all items that no base trains on."""
    return int(item.digest[-8:], 16) % 10 == 0


def stream(name: str, seed: str, *, held: bool) -> Iterator[Item]:
    """Endless items of one skill, from the held-out tenth or from the rest, repeats included."""
    rng = Random(f"{seed}/{name}")
    while True:
        candidate = item(name, rng)
        if held_out(candidate) == held:
            yield candidate


def sample(name: str, count: int, seed: str, *, held: bool = True) -> list[Item]:
    """`count` different items. Raises ValueError where no new one comes for long: the skill has too few."""
    found: dict[str, Item] = {}
    repeats = 0
    for candidate in stream(name, seed, held=held):
        if len(found) == count:
            break
        if repeats > PATIENCE * (len(found) + 50):
            raise ValueError(f"skill {name!r} has only about {len(found)} different items, {count} were asked for")
        repeats = repeats + 1 if candidate.digest in found else 0
        found.setdefault(candidate.digest, candidate)
    return list(found.values())


class ExactMatch:
    """Right where the answer is the reference, spaces at the ends aside."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        """One verdict for each pair, in order."""
        for task, answer in zip(items, answers, strict=True):
            right = answer.strip() == task.reference
            yield Verdict(float(right), "ok" if right else "wrong", "" if right else f"expected {task.reference}")
