"""`speciate suite`: which suites there are, what one asks without a model, and all that is wrong with one at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from speciate.cli import run
from speciate.evals.sources import questions
from speciate.pipeline.evaluation import find_suite
from speciate.pipeline.suites import outline
from speciate.storage import write_jsonl

ROOT = Path(__file__).parents[2]
QUIZ = """suite: quiz
version: 3
description: A few questions.
sampling: {max_new_tokens: 20}
sources:
  - {source: skills, families: [sums, parity], items: 6}
  - {source: lean, role: niche, families: [lists], items: 4, prefix: lean-}
  - source: jsonl
    role: transfer
    path: quiz.jsonl
    name: quiz
    family: "{{ kind }}"
    prompt: "{{ ask }}"
    answer: "{{ right }}"
  - {source: dataset, path: some/where, name: far, prompt: "{{ a }}", answer: "{{ b }}", items: 50}
text: texts.jsonl
"""
WRONG = """suite: quiz
version: 3
sources:
  - {source: skills, families: [sums, sumz]}
  - {source: jsonl, path: quiz.jsonl, name: quiz, prompt: "{{ asked }}", answer: "{{ right }}"}
  - {source: jsonl, path: none.jsonl, name: none, prompt: "{{ ask }}", answer: "{{ right }}"}
  - {source: dataset, path: some/where, name: far, prompt: "{{ a", answer: "{{ b }}"}
  - {source: jsonl, path: quiz.jsonl, name: same, prompt: "{{ ask }}", answer: "{{ right }}"}
  - {source: jsonl, path: quiz.jsonl, name: same, prompt: "{{ ask }}", answer: "{{ right }}"}
text: quiz.jsonl
"""


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one suite and its files, and a home that is not there."""
    assert not home.exists()
    monkeypatch.chdir(tmp_path)
    suites = tmp_path / "evals" / "suites"
    suites.mkdir(parents=True)
    (suites / "quiz.yaml").write_text(QUIZ)
    rows = [{"ask": f"{n}?", "right": str(n), "kind": "even" if n % 2 == 0 else "odd"} for n in range(7)]
    write_jsonl(tmp_path / "quiz.jsonl", rows)
    write_jsonl(tmp_path / "texts.jsonl", [{"text": "Ada."}, {"text": "Ben."}])
    return tmp_path


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = run([*arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_suites_are_listed_with_what_they_ask(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "evals" / "suites" / "broken.yaml").write_text("suite: broken\nversion: x\nsources: []\n")
    status, found = answered(capsys, "suite", "list")
    assert (status, found["schema"]) == (0, "suites/1")
    assert found["suites"] == [
        {
            "suite": "quiz",
            "version": 3,
            "description": "A few questions.",
            "sources": ["skills: sums, parity", "lean: lists", "quiz (quiz.jsonl)", "far (some/where)"],
            "path": str(place / "evals" / "suites" / "quiz.yaml"),
        }
    ]
    assert len(found["problems"]) == 2, "a suite that cannot be read hides no other"
    assert run(["suite", "list"]) == 0
    shown = capsys.readouterr().out
    assert "quiz version 3" in shown
    assert "broken.yaml:2: version: must be a whole number" in " ".join(shown.split())


def test_no_suites_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["suite", "list"]) == 0
    assert "There is no folder evals/suites here or above" in capsys.readouterr().out


def test_a_suite_is_shown_without_a_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = answered(capsys, "suite", "show", "quiz")
    assert (status, found["schema"]) == (0, "suite/1")
    assert [source["families"] for source in found["sources"]] == [
        {"sums": 6, "parity": 6}, {"lean-lists": 4}, {"even": 4, "odd": 3}, {"far": None},
    ]  # fmt: skip
    assert found["items"] == {"niche": 4, "transfer": 7, "general": 12}
    assert (found["uncounted"], found["sources"][3]["most"], found["texts"]) == (["far"], 50, 2)
    assert run(["suite", "show", str(place / "evals" / "suites" / "quiz.yaml")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "12 items of 2 families (6 each: sums, parity)" in shown
    assert "7 items of 2 families (even 4, odd 3)" in shown
    assert "far (some/where): at most 50 items of each; counted when the data set is read from the hub" in shown


@pytest.mark.parametrize("name", ["general-tiny"])
def test_the_outline_counts_what_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    loaded = find_suite(name)
    asked, shown = questions(loaded), outline(loaded)
    assert sum(shown.items.values()) == asked.items
    assert shown.texts == len(asked.texts)


def test_all_that_is_wrong_is_told_at_once_with_its_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "wrong.yaml"
    path.write_text(WRONG)
    status, found = answered(capsys, "suite", "check", "quiz", "wrong.yaml", "nine.yaml")
    assert (status, found["schema"], found["error"]["kind"]) == (2, "error/1", "RecipeError")
    told = found["error"]["problems"]
    lines = [(told_of.partition(": ")[0], told_of) for told_of in told]
    assert [line for line, _ in lines] == [
        "wrong.yaml:4", "wrong.yaml:10", "wrong.yaml:5", "wrong.yaml:6", "wrong.yaml:7", "wrong.yaml:9",
        "there is no suite 'nine.yaml'",
    ]  # fmt: skip
    assert "unknown skill 'sumz'; did you mean 'sums'?" in told[0]
    assert "each line needs a field 'text'" in told[1]
    assert "row 1: prompt: 'asked' is undefined" in told[2]
    assert "there is no 'none.jsonl'" in told[3]
    assert "{{ a" in told[4]
    assert "source 5 has a family 'same' too" in told[5]


def test_a_right_suite_is_said_to_be_right(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = answered(capsys, "suite", "check", "quiz")
    assert (status, found["schema"]) == (0, "suite-check/1")
    assert found["suites"] == [{"file": str(place / "evals" / "suites" / "quiz.yaml"), "suite": "quiz", "version": 3}]
    assert run(["suite", "check", "evals/suites/quiz.yaml"]) == 0
    assert capsys.readouterr().out == "evals/suites/quiz.yaml: right (suite quiz version 3)\n"
    assert not (place / "home").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "odd.yaml:1: the suite is empty; it has lines such as 'suite: my-suite'"),
        (b"- a", "odd.yaml:1: the suite is not a mapping; it has lines such as 'suite: my-suite'"),
        (b"\xff\xfe", "odd.yaml:1: not text in UTF-8 (byte 0xff); is it a suite?"),
        (b"#" * 200_000, "'odd.yaml' is larger than 100,000 bytes, which no suite is"),
        (b"suite: &a x", "odd.yaml:1: suite: anchors and aliases (&a) are not used in suites; write the value out"),
    ],
)
def test_what_is_no_suite_is_called_so(
    place: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    (place / "odd.yaml").write_bytes(content)
    assert run(["suite", "check", "odd.yaml"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "recipe" not in told


def test_a_folder_is_no_suite(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["suite", "check", "evals/suites"]) == 2
    assert "'evals/suites' is a folder, not a suite; suites in it: evals/suites/quiz.yaml" in capsys.readouterr().err
    (place / "odd.yaml").mkdir()
    assert run(["suite", "check", "odd.yaml"]) == 2
    assert "'odd.yaml' is a folder, not a suite" in capsys.readouterr().err
