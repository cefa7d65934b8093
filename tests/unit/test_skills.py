"""Every skill: right answers by another way of computing, held-out items apart, chance levels true."""

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.niches import skills

LINKS = re.compile(r"(\w) > (\w)")
ROADS = re.compile(r"(\d): (\w) - (\w)")
ENDS = re.compile(r"from (\w) to (\w)\?")


def recomputed(name: str, question: str) -> str | None:
    """The answer, read off the question's text by means other than the generator's; None where there is no other."""
    numbers = [int(text) for text in re.findall(r"\d+", question)]
    row = question.split(": ", 1)[1].rstrip("?").split() if ": " in question else []
    match name:
        case "sums" | "differences" | "products":
            return str(eval(question.removeprefix("What is ").rstrip("?")))  # noqa: S307 - our own generator's text
        case "equations":
            left, right = question.removeprefix("Solve: ").split(" = ")
            texts = (re.sub("[a-z]", str(number), f"{left} == {right}") for number in range(1000))
            return str([eval(text) for text in texts].index(True))  # noqa: S307 - our own generator's text
        case "remainders":
            return str(numbers[0] - numbers[1] * (numbers[0] // numbers[1]))
        case "reversal":
            return " ".join(row)[::-1]
        case "sorting":
            return " ".join(sorted(row, key=lambda text: (len(text), text)))
        case "counting":
            return str(Counter(row)[question.split()[2]])
        case "sequences":
            return str(2 * numbers[-1] - numbers[-2])
        case "comparison":
            return str(max(numbers))
        case "octal":
            return oct(int(question.split()[2], 2))[2:]
        case "parity":
            return ["even", "odd"][sum(map(int, row)) % 2]
        case "logic":
            text = (
                question.split(": ")[1]
                .replace("T", "1")
                .replace("F", "0")
                .replace("not not ", "")
                .replace("not ", "1-")
            )
            for word, sign in (("and", "&"), ("xor", "^"), ("or", "|")):
                text = text.replace(word, sign)
            return "true" if eval(text) else "false"  # noqa: S307 - our own generator's text
        case "deletion":
            return " ".join(letter for letter in row if letter != question.split()[1]) or "nothing"
        case "copying":
            return " ".join(row)
        case "lookup":
            table = dict(re.findall(r"(\w) = (\d+)", question))
            return " ".join(table[key] for key in question.split("What is ")[1].rstrip("?").split())
        case "paths":
            arrows, (place, goal) = dict(LINKS.findall(question)), ENDS.findall(question)[0]
            found: list[str] = []
            while place != goal:
                place = arrows[place]
                found.append(place)
            return " ".join(found)
        case "roads":
            ends = {number: {a, b} for number, a, b in ROADS.findall(question)}
            place, goal = ENDS.findall(question)[0]
            taken: list[str] = []
            while place != goal:
                number = next(number for number, pair in ends.items() if place in pair)
                place = (ends.pop(number) - {place}).pop()
                taken.append(number)
            return " ".join(taken)
        case _:
            return None


@pytest.mark.parametrize("name", skills.SKILLS)
@given(seed=st.integers(0, 10**9))
def test_answers_are_right(name: str, seed: int) -> None:
    item = skills.item(name, Random(seed))
    other = recomputed(name, item.prompt)
    if other is None:
        assert name == "extremes"
        return
    assert item.reference == other, item.prompt


def test_extremes_are_extreme() -> None:
    for item in skills.sample("extremes", 60, "extremes"):
        word, row = item.prompt.split(" of: ")
        ordered = sorted(map(int, row.split()))
        assert int(item.reference) == ordered[0 if word == "Smallest" else -1]


@pytest.mark.parametrize("name", skills.SKILLS)
def test_a_suite_never_meets_training_items(name: str) -> None:
    judged = skills.sample(name, 100, "a")
    training = skills.stream(name, "b", held=False)
    seen = {next(training).digest for _ in range(500)}
    assert len({item.digest for item in judged}) == 100
    assert seen.isdisjoint(item.digest for item in judged)


def test_too_many_items_are_refused_with_the_number_there_are() -> None:
    with pytest.raises(ValueError, match="'parity' has only about"):
        skills.sample("parity", 1000, "a")


@pytest.mark.parametrize(("name", "chance"), skills.CHANCE.items())
def test_chance_levels_are_those_of_the_best_constant_guess(name: str, chance: float) -> None:
    items = skills.sample(name, 150, "chance")
    if name == "comparison":
        share = sum(item.prompt.split()[3].rstrip(",") == item.reference for item in items) / len(items)
    else:
        share = max(Counter(item.reference for item in items).values()) / len(items)
    assert abs(share - chance) < 0.15


def test_exact_match_forgives_spaces_and_nothing_else() -> None:
    item = skills.sample("sums", 1, "match")[0]
    answers = [f" {item.reference}\n", f"{item.reference}.", "", f"{item.reference} {item.reference}"]
    scores = [verdict.score for verdict in skills.ExactMatch().verify([item] * 4, answers)]
    assert scores == [1.0, 0.0, 0.0, 0.0]
