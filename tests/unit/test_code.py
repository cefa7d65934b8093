"""From an answer to a program, by its text alone."""

import pytest

from speciate.niches.code import code_in, program

PROMPT = 'from math import pi\n\n\ndef area(r: float) -> float:\n    """Of a circle."""\n'


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("x = 1\n", "x = 1\n"),
        ("So:\n```python\nx = 1\n```\nand\n```\ny\n```", "x = 1"),
        ("```\nx = 1\ny = 2", "x = 1\ny = 2"),
        ("```python\n```", ""),
        ("    return 1\n```\n", "    return 1"),
        ("    return 1\n```\nThis returns 1.", "    return 1"),
        ("  ```py\nx\n  ```", "x"),
        ("", ""),
    ],
)
def test_code_is_the_first_block_or_all(answer: str, code: str) -> None:
    assert code_in(answer) == code


def test_a_completion_goes_on_from_the_prompt_and_is_cut_where_it_ends() -> None:
    body = "    return pi * r * r\n"
    for more in ("\nclass A:\n", "\ndef f():\n", "\n# next", "\nif True:", "\nprint(1)", "\n```"):
        assert program(PROMPT, "area", body + more) == PROMPT + body


def test_a_body_that_lost_its_margin_gets_one() -> None:
    assert program(PROMPT, "area", "r = r\nreturn r") == f"{PROMPT}    r = r\n    return r"


def test_a_whole_function_takes_the_prompts_place() -> None:
    whole = "def area(r):\n    return 3 * r * r"
    assert program(PROMPT, "area", f"```\n{whole}\n```") == f"from math import pi\n\n\n\n{whole}"
    other = "def area_of(r):\n    return 1"
    assert program(PROMPT, "area", other).startswith(PROMPT)
    assert program("Write area(r).", "area", whole) == f"\n{whole}"
