"""Tables as items: templates, choices, labels, and what is said where a row does not have what the suite asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from speciate.errors import InputError
from speciate.evals.sources import questions
from speciate.evals.tables import dataset_rows, table_items
from speciate.recipe import load_suite
from speciate.recipe.suite import DatasetSource, JsonlSource
from speciate.storage import write_jsonl

ROWS: list[dict[str, Any]] = [
    {"question": "Which is a fruit?", "choices": {"text": ["stone", "plum"], "label": ["A", "B"]}, "key": "B", "n": 1},
    {"question": "Which is a metal?", "choices": {"text": ["iron", "wool"], "label": ["A", "B"]}, "key": "A", "n": 0},
]


def source(**changed: Any) -> JsonlSource:
    content: dict[str, Any] = {
        "source": "jsonl",
        "path": "rows.jsonl",
        "name": "quiz",
        "prompt": "Q: {{ question }}",
        "answer": "{{ key }}",
    }
    return JsonlSource.model_validate(content | changed)


def items(rows: list[dict[str, Any]] = ROWS, most: int | None = None, **changed: Any) -> Any:
    return table_items(source(**changed), rows, most)


def test_a_row_becomes_a_question_and_its_answer() -> None:
    first, second = items()
    assert (first.family, first.prompt, first.reference, first.choices) == ("quiz", "Q: Which is a fruit?", "B", ())
    assert first.digest != second.digest
    assert items() == [first, second]


@pytest.mark.parametrize(
    ("changed", "answers"),
    [
        ({"choices": "choices.text", "labels": "choices.label"}, ["plum", "iron"]),
        ({"choices": "choices.text", "answer": "{{ n }}"}, ["plum", "iron"]),
        ({"choices": "choices.text", "answer": "{{ choices.text[n] }}"}, ["plum", "iron"]),
        ({"choices": ["yes {{ n }}", "no"], "labels": ["B", "A"]}, ["yes 1", "no"]),
    ],
)
def test_the_right_choice_is_known_by_label_number_or_text(changed: dict[str, Any], answers: list[str]) -> None:
    assert [item.reference for item in items(metric="choice", **changed)] == answers


def test_families_clusters_and_order_come_from_the_row() -> None:
    rows = [{"question": f"q{n}", "key": "x", "topic": "ab"[n % 2], "passage": n // 2} for n in range(8)]
    found = items(rows, 2, family="quiz-{{ topic }}", cluster="{{ passage }}")
    assert [(item.family, item.cluster) for item in found] == [
        ("quiz-a", "0"), ("quiz-b", "0"), ("quiz-a", "1"), ("quiz-b", "1"),
    ]  # fmt: skip
    shuffled = items(rows, None, shuffle=3)
    assert [item.prompt for item in shuffled] != [item.prompt for item in items(rows)]
    assert {item.prompt for item in shuffled} == {item.prompt for item in items(rows)}
    assert len(items([*rows, *rows])) == 8, "a row that is there twice is one item"


@pytest.mark.parametrize(
    ("rows", "changed", "message"),
    [
        (ROWS, {"prompt": "{{ qestion }}"}, r"row 1: prompt: 'qestion' is undefined \(its columns are question, "),
        (ROWS, {"prompt": "{{ question"}, "prompt: '{{ question': unexpected end"),
        (ROWS, {"prompt": "{{ question.__class__.__mro__ }}"}, "row 1: prompt: access to attribute '__class__'"),
        (ROWS, {"prompt": "{{ 1 / 0 }}"}, "row 1: prompt: division by zero"),
        (ROWS, {"prompt": "{{ ' ' }}"}, "row 1: the prompt is empty"),
        (ROWS, {"choices": "options", "metric": "choice"}, "there is no column 'options'"),
        (ROWS, {"choices": "question", "metric": "choice"}, "'question' is no list"),
        (ROWS, {"choices": "choices.text", "metric": "choice"}, "the answer 'B' is none of the choices"),
        (ROWS, {"choices": ["a", "a"], "metric": "choice"}, r"needs different choices, not \['a', 'a'\]"),
        ([], {}, r"'rows\.jsonl' has no row"),
        (ROWS, {"prompt": "{% for i in range(9) %}x{% endfor %}"}, "prompt: .*: 'range' may not be called"),
        (ROWS, {"prompt": r"{{ '\ud800' }}"}, r"'rows\.jsonl', row 1: prompt: .*surrogates not allowed"),
        (ROWS, {"cluster": r"{{ '\ud800' }}"}, "row 1: cluster: .*surrogates not allowed"),
        ([{"question": "q", "key": "9" * 5_000}], {"metric": "numeric"}, "row 1: the answer '999.* has no number"),
        (
            [{"question": "q", "key": "9" * 5_000, "options": ["a", "b"]}],
            {"choices": "options", "metric": "choice"},
            "row 1: the answer '999.* is none of the choices",
        ),
        (
            [{"question": "q", "key": "x", "prompt": "p", "test": float("nan"), "entry_point": "f"}],
            {"metric": "python"},
            "row 1: its tests hold what JSON cannot say",
        ),
    ],
)
def test_what_a_row_lacks_is_named(rows: list[dict[str, Any]], changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        items(rows, **changed)


def test_lines_that_are_no_rows_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "a", "key": "b"}\n[1]\n')
    (tmp_path / "mine.yaml").write_text(
        'suite: mine\nversion: 1\nsources:\n  - {source: jsonl, path: rows.jsonl, name: quiz, prompt: "{{ question }}",'
        ' answer: "{{ key }}"}\n'
    )
    with pytest.raises(InputError, match=r"rows\.jsonl:2 is not a mapping"):
        questions(load_suite(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("value", ['"\\ud800"', "9" * 5_000, "[" * 20_000])
def test_a_line_that_could_not_be_written_again_is_named(tmp_path: Path, value: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "a", "key": "b"}\n{"question": ' + value + ', "key": "b"}\n')
    (tmp_path / "mine.yaml").write_text(
        'suite: mine\nversion: 1\nsources:\n  - {source: jsonl, path: rows.jsonl, name: quiz, prompt: "{{ question }}",'
        ' answer: "{{ key }}"}\n'
    )
    with pytest.raises(InputError, match=r"source 'quiz': .*rows\.jsonl', line 2, is damaged: it "):
        questions(load_suite(tmp_path / "mine.yaml"))


def wanted(**changed: Any) -> DatasetSource:
    content: Mapping[str, Any] = {"source": "dataset", "path": "org/quiz", "name": "quiz", "prompt": "p", "answer": "a"}
    return DatasetSource.model_validate({**content, **changed})


def test_a_folder_in_the_format_of_a_data_set_is_read(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "org" / "quiz" / "test.jsonl", ROWS)
    rows = dataset_rows(wanted(), tmp_path / "org" / "quiz")
    assert [row["question"] for row in rows] == [row["question"] for row in ROWS]
    with pytest.raises(InputError, match=r"cannot read 'org/quiz': .*validation"):
        dataset_rows(wanted(split="validation"), tmp_path / "org" / "quiz")


def test_a_data_set_that_is_nowhere_is_named() -> None:
    with pytest.raises(InputError, match=r"cannot read 'org/quiz' \(a data set of the hub; a folder can be given"):
        dataset_rows(wanted(), None)
