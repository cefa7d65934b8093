"""What keeps an answer from being run, and a wrong one from being right: checked text, plain values."""

import json
import math
from collections import Counter, OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.niches.inside.formulas import check, number_of, value_of
from speciate.niches.inside.stricter import holds
from speciate.niches.inside.values import NotPlain, Opaque, as_json, from_json
from speciate.storage import canonical_json

HOSTILE = [
    "__import__('os').system('true')",
    "().__class__.__base__.__subclasses__()",
    "open('/etc/passwd').read()",
    "[x for x in (1, 2)]",
    "lambda: 1",
    "(y := 2)",
    "print",
    "f'{1}'",
    "x",
    "1 if 1 else 2",
    "[*(1, 2)]",
    "exec('1')",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_only_literals_and_arithmetic_have_a_value(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        value_of(text)


def test_literals_and_arithmetic_have_their_value() -> None:
    assert value_of("[[1, 2], ['a', -3.5]]") == [[1, 2], ["a", -3.5]]
    assert value_of("((0x12 + 3) << 2) & ~1") == ((0x12 + 3) << 2) & ~1
    assert value_of(" 7//2 ") == 3
    assert value_of("{'a': (1, None, True)}") == {"a": (1, None, True)}


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE[:4],
        "x.__class__",
        "x . diff",
        "Integral(x, x)",
        "integrate(x)",
        "expand(x)",
        "S('x')",
        "sympify(1)",
        "eval",
        "exec(1)",
        "lambda",
        "N(1)",
        "x[0]",
        "x = 1",
        "x; y",
        "'x'",
        "\u0435xec",
        "1\\\n+1",
    ],
)
def test_no_name_of_sympy_or_python_is_for_answers(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        check(text, {})


@pytest.mark.parametrize(
    "text", ["x**2/3 + C", "3*exp(-x)*sin(2*x)", "1.5*log(x) - pi", "-(x + 1)!", "foo", "x^2", "2 x"]
)
def test_formulas_are_for_answers(text: str) -> None:
    check(text, {"x": 1, "C": 2})


def test_a_name_that_the_task_gives_is_for_answers() -> None:
    check("S + N", {"S": 1, "N": 2})


def test_arithmetic_is_exact() -> None:
    assert number_of("(1 + 2) * -3 / 9") == -1
    assert number_of("1/3 + 1/3 + 1/3") == 1
    for text in ("1/0", "2**3", "1.5", "x", "1 //2", "True", "'1'", "", "(" * 1000):
        with pytest.raises((ValueError, RecursionError, MemoryError)):
            number_of(text)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
plain = st.recursive(
    scalars | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text() | st.tuples(st.integers()), inner, max_size=4)
        | st.frozensets(st.integers() | st.text(), max_size=4)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, all the way down, in whatever order keys stand."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        # Keys come back sorted.
        found = [any(same(a, c) and same(b, d) for c, d in other.items()) for a, b in one.items()]
        return len(one) == len(other) and all(found)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(plain)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert same(from_json(json.loads(canonical_json(as_json(value)))), value)


def test_other_values_come_back_plain_or_not_at_all() -> None:
    import numpy

    class Any_(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    assert from_json(as_json(numpy.float64(0.5))) == 0.5
    assert from_json(as_json(numpy.array([[1, 2]]))) == [[1, 2]]
    assert type(from_json(as_json(OrderedDict(a=1)))) is dict
    assert from_json(as_json(Counter("aa"))) == {"a": 2}
    assert from_json(as_json({"$": 1})) == {"$": 1}
    assert list(from_json(as_json(n for n in range(3)))) == [0, 1, 2]
    assert math.isnan(from_json(as_json(math.nan)))
    assert from_json(as_json(Any_(3))) != 4
    assert isinstance(from_json(as_json(object())), Opaque)
    assert from_json(as_json(object())) != from_json(as_json(object()))


@pytest.mark.parametrize(
    "found",
    [
        {"$": "tuple"},
        {"$": "os"},
        {"$": ["x"]},
        {"$": "int", "v": 3},
        {"$": "range", "v": "ab"},
        {"$": "dict", "v": [1]},
        {"$": "set", "v": [[]]},
        {"$": "float", "v": "x"},
    ],
)
def test_what_is_no_value_is_refused(found: Any) -> None:
    with pytest.raises(NotPlain):
        from_json(found)


def test_what_nests_too_deep_is_refused() -> None:
    lists: Any = []
    tuples: Any = []
    for _ in range(600):
        lists, tuples = [lists], {"$": "tuple", "v": [tuples]}
    for found in (lists, tuples):
        with pytest.raises(NotPlain):
            from_json(found)


ENTRIES: dict[str, dict[str, Any]] = {
    "complex_arithmetic": {"answer": "1.0 + 2.0i"},
    "coin_flip": {"answer": "0.234375"},
    "puzzle24": {"answer": "4*8 - 6 - 2", "metadata": {"numbers": [2, 4, 6, 8]}},
    "countdown": {"answer": "7 + 2*5", "metadata": {"numbers": [2, 5, 7], "target": 17}},
    "number_sorting": {"answer": "['-5.19', '19.0']"},
    "game_of_life": {"answer": "[[0, 1], [1, 0]]"},
    "letter_jumble": {"answer": "Let it be"},
    "figlet_font": {"answer": "UNIMPORTANT"},
    "game_of_life_halting": {"answer": "True"},
}
WRONG = [
    *(("complex_arithmetic", text) for text in ("nan", "NaN + 1i")),
    *(("coin_flip", text) for text in ("0", "0.", "-0", "0.2")),
    *(("puzzle24", text) for text in ("6*4*1*1", "4*8 - 6 - 2 + 1/2", "8*(2+4)-6*4 + 0", "4*8 - 62", "24")),
    *(("countdown", text) for text in ("7 + 2**5", "7.25", "2*5*7", "7 + 2*5 + 0", "17")),
    *(("number_sorting", text) for text in ("[NaN, NaN]", "['-5.0', '19.5']", "[-5.19]")),
    *(("game_of_life", text) for text in ("[[0, 1], [1, 0], [1, 1]]", "[[0, 1, 1], [1, 0]]")),
    ("letter_jumble", "Let it be so"),
    ("figlet_font", "UNIMPORTANTX"),
    *(("game_of_life_halting", text) for text in ("False", "x", "0")),
]


@pytest.mark.parametrize(("family", "answer"), WRONG)
def test_what_a_scorer_forgets_is_asked(family: str, answer: str) -> None:
    assert not holds(family, answer, ENTRIES[family])


def test_what_is_right_holds() -> None:
    for family, entry in ENTRIES.items():
        assert holds(family, entry["answer"], entry), family
    assert holds("coin_flip", "15/64", ENTRIES["coin_flip"])
    assert holds("puzzle24", " (4 * 8) - 6 - 2", ENTRIES["puzzle24"])
    assert holds("number_sorting", "[-5.19, 19]", ENTRIES["number_sorting"])
    assert holds("chain_sum", "anything", {})
