"""Templates of a suite: what a prompt needs is there, and nothing that runs long or fills the memory."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from speciate.evals.templates import LONGEST, MOST_ROUNDS, Refused, Templates

ROW: dict[str, Any] = {
    "q": "What is _?",
    "options": ["plum", "iron"],
    "label": ["A", "B"],
    "n": 1,
    "long": "x" * 100_000,
    "many": list(range(100_000)),
    "passage": {"title": "On wool", "lines": ["one", "two"]},
}


def made(text: str) -> str:
    environment = Templates()
    return environment.text(environment.made(text), ROW)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ q }}\n", "What is _?\n"),
        ("{{ q.replace('_', options[n]) }}", "What is iron?"),
        ("{{ q | replace('_', options | first) | upper }}", "WHAT IS PLUM?"),
        ("{{ q.replace('', '-', 2) }}", "-W-hat is _?"),
        ("{% for o in options %}{{ 'AB'[loop.index0] }}. {{ o }}{{ '\n' if not loop.last }}{% endfor %}",
         "A. plum\nB. iron"),
        ("{% for l in label %}{% for o in options if o != 'plum' %}{{ l ~ o }} {% endfor %}{% endfor %}",
         "Airon Biron "),
        ("{{ passage.lines | join(', ') }} {{ ' and '.join(passage['lines']) }}", "one, two one and two"),
        ("{{ options | map('upper') | list | length + n - 1 }}", "2"),
        ("{% if n > 0 and 'plum' in options %}{{ passage.title.split(' ')[-1] }}{% else %}no{% endif %}", "wool"),
        ("{{ passage | tojson }} {{ missing | default('none') }}",
         '{"title": "On wool", "lines": ["one", "two"]} none'),
        ("{{ options[n:] }} {{ -n }} {{ n / 2 }}", "['iron'] -1 0.5"),
    ],
)  # fmt: skip
def test_what_a_prompt_needs_is_there(template: str, text: str) -> None:
    assert made(template) == text


HOSTILE = [
    "{% for i in range(10**9) %}x{% endfor %}",
    "{{ 'x' * 10**9 }}",
    "{{ 10 ** 10 ** 8 }}",
    "{{ 7 // 2 }}",
    "{{ '%1000000000d' % n }}",
    "{{ '%1000000000d' | format(n) }}",
    "{{ '{:1000000000}'.format(n) }}",
    "{{ q['format'](n) }}",
    "{{ q | center(10**9) }}",
    "{{ q | center(1000000000) }}",
    "{{ q.ljust(1000000000) }}",
    "{{ q | indent(1000000000) }}",
    "{{ n | round(1000000000, 'ceil') }}",
    "{{ options | batch(1000000000, 'x') | list }}",
    "{{ lipsum(1000000000) }}",
    "{{ q | attr('upper') }}",
    "{% set a = 'xxxxxxxxxx' %}{% set a = a ~ a %}",
    "{% with a = q %}{{ a }}{% endwith %}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for o in options recursive %}{{ loop(options) }}{% endfor %}",
    "{% for a in q %}{% for b in q %}{% for c in q %}x{% endfor %}{% endfor %}{% endfor %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% filter upper %}x{% endfilter %}",
    "{% raw %}x{% endraw %}{% do q %}",
    "{{ " + "(" * 9_000 + "n" + ")" * 9_000 + " }}",
    "{{ " + "-" * 15_000 + "n }}",
    "{% if n %}" * 900 + "{% endif %}" * 900,
    "{{ " + "9" * 5_000 + " }}",
    "{{ q",
]


@pytest.mark.parametrize("template", HOSTILE, ids=lambda text: text[:40])
def test_what_no_prompt_needs_is_refused_before_it_runs(template: str) -> None:
    began = time.monotonic()
    with pytest.raises(Refused):
        Templates().made(template)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for a in many %}{% for b in many %}x{% endfor %}{% endfor %}", f"more than {MOST_ROUNDS:,} times"),
        ("{% for a in many if a < 0 %}x{% endfor %}", f"more than {MOST_ROUNDS:,} times"),
        ("{% for a in many %}{% endfor %}", f"more than {MOST_ROUNDS:,} times"),
        ("{{ long" + " | replace('x', 'xxxxxxxxxx')" * 3 + " }}", f"more than {LONGEST:,} characters"),
        ("{{ long" + ".replace('x', 'xxxxxxxxxx')" * 3 + " }}", f"more than {LONGEST:,} characters"),
        ("{{ [long]" + " | map('replace', 'x', 'xxxxxxxxxx')" * 3 + " | list }}", f"more than {LONGEST:,} char"),
        ("{{ long | list | join('xxxxxxxxxxx') }}", f"more than {LONGEST:,} characters"),
        ("{{ 'xxxxxxxxxxx'.join(long) }}", f"more than {LONGEST:,} characters"),
        ("{{ long }}" * 11, f"more than {LONGEST:,} characters"),
        ("{% for a in options %}{{ long" + " ~ long" * 9 + " }}{% endfor %}", f"more than {LONGEST:,} characters"),
        ("{{ q.__class__ }}", "unsafe"),
        ("{{ options | map(attribute='__class__') | first }}", "unsafe"),
        ("{{ range }}", "'range' is undefined"),
    ],
)  # fmt: skip
def test_what_grows_with_a_row_is_counted(template: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(TemplateError, match=said):
        made(template)
    assert time.monotonic() - began < 5


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        made(r"{{ '\ud800' }}")


def test_each_row_has_rounds_of_its_own() -> None:
    environment = Templates()
    template = environment.made("{% for a in many %}{% endfor %}{{ n }}")
    for _ in range(3):
        assert environment.text(template, {"many": range(MOST_ROUNDS), "n": 1}) == "1"


PIECES = st.sampled_from(
    ["{{", "}}", "{%", "%}", " for ", " in ", " if ", " endif ", " endfor ", " n ", " q ", "|", "upper", "join", "(",
     ")", "'a'", "*", "**", "~", "+", "%", ".", "[", "]", ",", " set ", "=", "range", "9", "long", "many", "#}"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
@settings(max_examples=300, deadline=2_000)
def test_whatever_a_template_says_it_ends_and_is_short(text: str) -> None:
    try:
        found = made(text)
    except (Refused, TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return
    assert len(found) <= LONGEST
