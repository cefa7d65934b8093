"""Documents that only looking back predicts: in each, a format is invented, used a few times and never again.

What a small base needs before it can be taught a formal language is the habit of finding something again in its
context and copying what stands beside it (induction heads, Olsson et al. 2022). Skills with a fixed form teach it for
that form alone; here symbols, signs, order and brackets are new each time, so that nothing else helps.
"""

import string
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from random import Random

LETTERS, CAPITALS = string.ascii_lowercase, string.ascii_uppercase
MARKS = (*"=:;,>|/+*-~#&@?!<^%$", "→", "∧", "∨", "↔", "≤", "≠", "∣", "·", "->", "=>", ":=")
SIGNS = (*MARKS, "is", "to", "by", "from", "have", "show")
BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ("⟨", "⟩"), ("<", ">"), ("", ""))
JOINERS = (", ", "\n", " ", "; ", " . ")
GAPS = ("\n", " . ", " ? ")
SUFFIXES = ("", "", "'", "!")

Fields = Mapping[str, str]
Writer = Callable[[Fields], str]
Tree = str | tuple["Tree", "Tree"]


def symbols(rng: Random) -> list[str]:
    """At least twelve different symbols of one sort."""
    match rng.randrange(5):
        case 0:
            return list(LETTERS)
        case 1:
            return list(CAPITALS)
        case 2:
            return [str(number) for number in range(100)]
        case 3:
            letter = rng.choice(LETTERS)
            return [f"{letter}{number}" for number in range(1, 13)]
        case _:
            return [a + b for a in rng.sample(LETTERS, 5) for b in rng.sample(LETTERS, 5)]


def other_symbols(rng: Random, taken: Sequence[str]) -> list[str]:
    """Symbols of a sort of which none is `taken`."""
    while not set(found := symbols(rng)).isdisjoint(taken):
        pass
    return found


def labels(rng: Random, sort: Sequence[str], count: int) -> list[str]:
    """`count` labels, in their order or in none."""
    return list(sort[:count]) if rng.random() < 0.5 else rng.sample(sort, count)


def writer(rng: Random, names: Sequence[str]) -> Writer:
    """A way to write the fields `names`: signs between them, perhaps brackets around."""
    opening, closing = rng.choice(BRACKETS)
    signs = [rng.choice(SIGNS) if place or rng.random() < 0.3 else "" for place in range(len(names))]
    suffixes = [rng.choice(SUFFIXES) if rng.random() < 0.3 else "" for _ in names]

    def write(fields: Fields) -> str:
        parts = [f"{sign} {fields[name]}{suffix}" for sign, name, suffix in zip(signs, names, suffixes, strict=True)]
        return f"{opening}{' '.join(part.strip() for part in parts)}{closing}"

    return write


def repeats(rng: Random) -> str:
    """A row of symbols, two to four times."""
    chosen = [symbol for _ in range(rng.randint(1, 3)) for symbol in symbols(rng)]
    if rng.random() < 0.3:
        chosen += SIGNS
    row = " ".join(rng.choices(chosen, k=rng.randint(2, 16)))
    return rng.choice(("\n", " ; ", " | ", " . ")).join([row] * rng.randint(2, 4))


def records(rng: Random) -> str:
    """Small tables, then some of their rows again in another form."""
    keys, values = symbols(rng), symbols(rng)
    marks = other_symbols(rng, keys + values)
    names = ["key", "value"] + (["label"] if rng.random() < 0.5 else [])
    fact = writer(rng, rng.sample(names, len(names)))
    question = writer(rng, rng.sample(names, rng.randint(2, len(names))))
    joiner, other, gap = rng.choice(JOINERS), rng.choice(JOINERS), rng.choice(GAPS)
    tables: list[str] = []
    for _ in range(rng.randint(1, 3)):
        count = rng.randint(2, 7)
        columns = rng.sample(keys, count), rng.sample(values, count), labels(rng, marks, count)
        rows = [{"key": key, "value": value, "label": label} for key, value, label in zip(*columns, strict=True)]
        asked = rng.choices(rows, k=rng.randint(2, 2 * count))
        tables.append(joiner.join(map(fact, rows)) + gap + other.join(map(question, asked)))
    return "\n".join(tables)


def derivations(rng: Random) -> str:
    """Shuffled links between symbols, labelled, then the way from a start to an end, link by link."""
    nodes = symbols(rng)
    marks = other_symbols(rng, nodes)
    labelled = rng.random() < 0.8
    names = ["from", "to", "label"] if labelled else ["from", "to"]
    fact = writer(rng, rng.sample(names, len(names)))
    told = [rng.choice(names[1:]), *rng.choices(names, k=rng.choice((0, 1, 1, 2, 3)))]
    step, asked = writer(rng, rng.sample(told, len(told))), writer(rng, ["start", "end"])
    turned, sign = 0.4 * (rng.random() < 0.4), rng.choice(SIGNS)
    joiner, other, gap = rng.choice(JOINERS), rng.choice(JOINERS), rng.choice(GAPS)
    puzzles: list[str] = []
    for _ in range(rng.randint(1, 4)):
        ways = ways_between(rng, nodes)
        links = [link for way in ways for link in pairwise(way)]
        order = rng.sample(links, len(links))
        label = dict(zip(order, labels(rng, marks, len(order)), strict=True))
        back = {link for link in links if rng.random() < turned}
        facts = [fact(fields(link[::-1] if link in back else link, label[link])) for link in order]
        answers = [
            asked({"start": way[0], "end": way[-1]})
            + gap
            + other.join(
                step(fields(link, label[link])) + (f" {sign}" if link in back else "") for link in pairwise(way)
            )
            for way in ways
        ]
        puzzles.append(gap.join([joiner.join(facts), *answers]))
    return "\n".join(puzzles)


def ways_between(rng: Random, nodes: Sequence[str]) -> list[list[str]]:
    """One to three ways of one to five links, through different nodes."""
    lengths = rng.choice(((2,), (3,), (4,), (5,), (1, 2), (2, 2), (2, 3), (1, 1, 2), (2, 1, 2)))
    drawn = iter(rng.sample(nodes, sum(lengths) + len(lengths)))
    return [[next(drawn) for _ in range(length + 1)] for length in lengths]


def fields(link: tuple[str, ...], label: str) -> Fields:
    """A link as the fields of a writer."""
    return {"from": link[0], "to": link[1], "label": label}


def rewrites(rng: Random) -> str:
    """Bracketed expressions, each in two notations."""
    chosen = symbols(rng)
    operators = [*(f" {mark} " for mark in rng.sample(MARKS, 2)), ", "]
    notations = [(rng.choice(operators), rng.choice(BRACKETS[:4]), rng.choice(SUFFIXES)) for _ in range(2)]
    between = rng.choice((" = ", " => ", "\n", " ? "))
    lines: list[str] = []
    for _ in range(rng.randint(2, 5)):
        tree = random_tree(rng, rng.sample(chosen, rng.randint(2, 5)))
        lines.append(between.join(written(tree, *notation) for notation in notations))
    return rng.choice(("\n", " ; ")).join(lines)


def random_tree(rng: Random, leaves: Sequence[str]) -> Tree:
    """A random binary tree over `leaves` in their order."""
    if len(leaves) == 1:
        return leaves[0]
    cut = rng.randint(1, len(leaves) - 1)
    return random_tree(rng, leaves[:cut]), random_tree(rng, leaves[cut:])


def written(tree: Tree, operator: str, brackets: tuple[str, str], suffix: str, *, inner: bool = False) -> str:
    """A tree in one notation, with all brackets but the outermost."""
    if isinstance(tree, str):
        return tree + suffix
    text = operator.join(written(part, operator, brackets, suffix, inner=True) for part in tree)
    return f"{brackets[0]}{text}{brackets[1]}" if inner else text


KINDS: dict[Callable[[Random], str], float] = {repeats: 1, records: 2, derivations: 3, rewrites: 1}
"""Each kind of document and how often it comes."""


def document(rng: Random) -> str:
    """A document of some kind."""
    return rng.choices(list(KINDS), list(KINDS.values()))[0](rng)
