"""Answers against references: what is equal, what is not, and what must not take long."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.errors import InputError
from speciate.niches.base import Item, Verdict, Verifier
from speciate.niches.matching import Exact, Numeric, Pattern, last_number


def item(reference: str, **payload: object) -> Item:
    return Item("table", "?", reference, reference, payload)


def judged(verifier: Verifier, reference: str, answer: str, **payload: object) -> Verdict:
    with verifier as open_verifier:
        (verdict,) = open_verifier.verify([item(reference, **payload)], [answer])
    return verdict


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("the answer is 5.", "5"),
        ("x = -5", "-5"),
        ("from 10-12", "12"),
        ("5 - 3 = 2", "2"),
        ("(3)-4", "4"),
        ("$1,234.50", "1234.5"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("\u20ac 1,000,000", "1000000"),
        ("1,2,3", "3"),
        ("12,3456", "3456"),
        ("3/4", "3/4"),
        (r"\frac{3}{4}", "3/4"),
        (r"-\dfrac{3}{4}", "-3/4"),
        (r"\boxed{42}", "42"),
        ("1{,}000", "1000"),
        ("50%", "1/2"),
        (r"50\%", "1/2"),
        ("1e3", "1000"),
        ("1.5 x 10^3", "1500"),
        ("2 \u00d7 10^{-3}", "1/500"),
        (".5", "1/2"),
        ("\u22127", "-7"),
        ("72\n#### 72", "72"),
        ("two", None),
        ("1/0", None),
        ("1e999999999", None),
        ("1e401", None),
        ("9" * 101, None),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, value: str | None) -> None:
    found = last_number(text)
    assert (None if found is None else found.value) == (None if value is None else Fraction(value))


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_a_number_is_read_as_it_was_written(over: int, under: int) -> None:
    for text in (str(over), f"{over:,}", f"so it is {over}.", f"{over}/{under}"):
        found = last_number(text)
        assert found is not None
        assert found.value == Fraction(over, under if "/" in text else 1)


@given(st.text(alphabet="0123456789,.-+/eE%$ x^{}\\frac", max_size=60))
def test_no_text_is_too_odd(text: str) -> None:
    assert judged(Numeric(0.1), "5", text).score in (0.0, 1.0)


@pytest.mark.parametrize(
    "text",
    ["1" * 50_000, "1," * 20_000, "-" * 50_000, "1/" * 20_000, "1 x 10^" * 9_000, "\\frac{" * 9_000, " " * 50_000,
     "9" * 5_000, "1e999999999", "1e" + "9" * 5_000, "1 x 10^999999999", "1/" + "9" * 5_000, "\ud800" * 5_000,
     "\\frac{" + "9" * 5_000 + "}{7}", "1" + ",111" * 5_000 + "1"],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    started = time.monotonic()
    for verifier in (Numeric(), Numeric(0.1), Exact()):
        assert judged(verifier, "5", text).reason == "wrong"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        ("72", "It is 72.", True),
        ("#### 1,000", "1000.00", True),
        ("0.5", "1/2", True),
        ("0.5", "50%", True),
        ("20%", "20", True),
        ("20%", "0.2", True),
        ("20%", "2", False),
        ("20", "20%", True),
        ("1/3", "0.333", False),
        ("1e-9", "0", False),
        ("7", "-7", False),
        ("7", "seven", False),
        ("7", "7 or 8", False),
    ],
)
def test_numbers_are_equal_by_value(reference: str, answer: str, right: bool) -> None:
    verdict = judged(Numeric(), reference, answer)
    assert (verdict.score, verdict.reason) == ((1.0, "ok") if right else (0.0, "wrong")), verdict


def test_a_tolerance_is_a_part_of_the_reference() -> None:
    assert judged(Numeric(0.01), "1/3", "0.333").reason == "ok"
    assert judged(Numeric(0.01), "1000", "1009").reason == "ok"
    assert judged(Numeric(0.01), "1000", "1011").reason == "wrong"
    assert judged(Numeric(0.01), "0", "0.005").reason == "ok"
    assert judged(Numeric(0.01), "1000", "1009", tolerance=0).reason == "wrong"
    assert judged(Numeric(0.01), "1000", "nan").reason == "wrong"


def test_an_item_without_a_number_is_not_judged() -> None:
    assert judged(Numeric(), "seven", "7").reason == "error"
    assert judged(Numeric(), "7", "7", tolerance=float("inf")).reason == "error"


def test_text_is_equal_but_for_its_ends() -> None:
    assert judged(Exact(), "Paris", " Paris\n").reason == "ok"
    assert judged(Exact(), "Paris", "paris").reason == "wrong"
    assert judged(Exact(fold_case=True), "Paris", "PARIS").reason == "ok"
    assert judged(Exact(), "Paris", "Paris, France", accept=["Paris, France"]).reason == "ok"
    assert judged(Numeric(), "5", "6", accept=["6"]).reason == "ok"


def test_a_pattern_finds_the_answer() -> None:
    text = "The answer is (A). No: the answer is (B)."
    assert judged(Pattern(r"answer is \((\w)\)"), "B", text).reason == "ok"
    assert judged(Pattern(r"answer is \((\w)\)", which="first"), "A", text).reason == "ok"
    assert judged(Pattern(r"answer is \((\w)\)", fold_case=True), "b", text).reason == "ok"
    verdict = judged(Pattern(r"answer is \((\w)\)"), "C", text)
    assert (verdict.reason, verdict.detail) == ("wrong", "found 'B', expected C")
    assert judged(Pattern(r"answer is \((\w)\)"), "C", "C").detail == "no match"
    assert judged(Pattern(r"x|(y)"), "y", "x").detail == "no match"


def test_a_pattern_that_takes_long_costs_only_its_answer() -> None:
    hard = "a" * 60 + "!"
    with Pattern(r"((?:a+)+)$", timeout_s=1) as verifier:
        found = list(verifier.verify([item("a")] * 4, ["a", hard, hard, "a"]))
    assert [each.reason for each in found] == ["ok", "timeout", "timeout", "ok"], found
    assert verifier.sandbox.starts == 1


@pytest.mark.parametrize("pattern", ["(", "answer", "(?P<x>a)(?P<x>b)", "(" * 5000 + ")" * 5000])
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with Pattern(pattern) as verifier, pytest.raises(InputError, match="pattern"):
        list(verifier.verify([item("a")], ["a"]))
