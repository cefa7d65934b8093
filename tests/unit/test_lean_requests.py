"""Lines that `speciate lean check` reads, and what it makes of names, bytes and mistakes. No Lean runs."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speciate.errors import InputError, NotFound
from speciate.niches.lean.requests import line, name_of, parse, read
from speciate.niches.lean.verdict import (
    REASONS,
    LeanJob,
    LeanVerdict,
    by,
    explained,
    judged,
    reason_of,
    renamed,
    stated,
)


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def plain(job: LeanJob) -> LeanJob:
    return job


def test_a_line_is_a_theorem(tmp_path: Path) -> None:
    row = {"id": "a.b", "statement": "(p : Prop) : p", "proof": "by simp", "context": "def x := 1", "axioms": ["q"]}
    found = read(write(tmp_path / "f", row, "", {"id": 7, "statement": ": 1 = 1", "proof": "rfl", "more": 1}), plain)
    first, second = (request.job for request in found)
    assert (first.statement, first.name, first.proof) == ("theorem «a».«b» (p : Prop) : p", "a.b", "by simp")
    assert (first.context, first.axioms, first.auto_implicit, first.renamable) == ("def x := 1", ("q",), True, True)
    assert (second.statement, found[1].id) == ("theorem «7» : 1 = 1", 7)


def test_all_bad_lines_are_told_at_once(tmp_path: Path) -> None:
    good = {"id": "a", "statement": "s", "proof": "p"}
    rows = [
        "{",
        "[]",
        {**good, "id": None},
        {**good, "id": True},
        {**good, "proof": 3},
        {"id": "a"},
        {**good, "axioms": "q"},
    ]
    with pytest.raises(InputError) as told:
        read(write(tmp_path / "f", good, *rows), plain)
    lines = str(told.value).splitlines()
    assert [text.split(":")[1] for text in lines] == [str(number) for number in range(2, 9)]
    assert "no 'statement' and no 'proof'" in str(told.value)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_a_mistake(tmp_path: Path, content: str) -> None:
    (tmp_path / "f").write_text(content)
    with pytest.raises(InputError, match="holds no proof"):
        read(tmp_path / "f", plain)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        read(tmp_path / "none", plain)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, plain)


def test_bytes_that_are_no_text_stay_in_the_proof(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b'{"id": "a", "statement": "s", "proof": "by \xff"}')
    assert read(tmp_path / "f", plain)[0].job.proof == "by \udcff"


def test_the_hammer_needs_no_proof() -> None:
    assert parse('{"id": 1, "statement": "s"}', proofless=True).job.proof == ""
    with pytest.raises(ValueError, match="no 'proof'"):
        parse('{"id": 1, "statement": "s"}')


@given(st.text() | st.integers())
def test_any_id_is_a_name(identity: str | int) -> None:
    name = name_of(identity)
    assert name
    assert all(name.split("."))
    assert not set(name) & set("«»\n\0")
    row = json.dumps({"id": identity, "statement": "s", "proof": "p"})
    assert parse(row).id == identity


@given(st.text(max_size=300))
def test_no_line_breaks_it(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse(text).job.statement.startswith("theorem ")


def test_a_new_name_is_in_the_statement_too() -> None:
    job = LeanJob("", stated("Nat.x", "(n : Nat) : n = n"), "rfl", "Nat.x", renamable=True)
    other = renamed(job)
    assert other.name.startswith("Nat.x_")
    assert other.statement == stated(other.name, "(n : Nat) : n = n")


def test_an_answer_is_one_line_with_its_id() -> None:
    request = parse('{"id": "x", "statement": "s", "proof": "p"}')
    verdict = LeanVerdict("accepted", "", "", 1.26, ("propext",), "embedded", "4.28.0", 3)
    keys = ["id", "verdict", "reason", "message", "ms", "axioms", "engine", "lean"]
    found = json.loads(line(request, verdict))
    assert list(found) == keys
    assert (found["ms"], found["axioms"]) == (1.3, ["propext"])


@pytest.mark.parametrize(
    ("reason", "message", "wanted"),
    [
        ("error", "(deterministic) timeout at `whnf`, maximum number of heartbeats (7) has been reached", "heartbeats"),
        ("kernel", "(kernel) deterministic timeout", "heartbeats"),
        ("error", "maximum recursion depth has been reached", "depth"),
        ("error", "fail to show termination for\n  t", "recursion"),
        ("error", "unsolved goals\nx : Nat", "incomplete"),
        ("error", "Type mismatch", "error"),
        ("statement", "`Nat.x` has already been declared", "name"),
        ("sorry", "maximum recursion depth", "sorry"),
    ],
)
def test_errors_are_told_apart(reason: str, message: str, wanted: str) -> None:
    assert reason_of(reason, message) == wanted


ANSWER = {"proved": True, "reason": "", "detail": "", "axioms": [], "place": 0, "ms": 1}


def test_a_judges_answer_is_believed_only_whole() -> None:
    assert judged(ANSWER, "e", "l").proved
    assert judged({**ANSWER, "reason": "error"}, "e", "l").verdict == "rejected"
    for missing in ANSWER:
        with pytest.raises(KeyError):
            judged({key: value for key, value in ANSWER.items() if key != missing}, "e", "l")


@pytest.mark.parametrize("proved", [1, "true", False, None])
def test_only_true_is_true(proved: object) -> None:
    with pytest.raises(ValueError, match="no reason"):
        judged({**ANSWER, "proved": proved}, "e", "l")


def test_every_reason_is_explained() -> None:
    assert all(explained(reason, "") == text for reason, text in REASONS.items())
    assert explained("sorry", "admit") == f"{REASONS['sorry']}: admit"
    assert explained("error", "Type mismatch") == "Type mismatch"
    assert explained("depth", "too deep\nuse `set_option maxRecDepth <num>` to increase limit") == "too deep"
    assert explained("depth", "use `set_option maxRecDepth <num>`") == REASONS["depth"]
    assert by("a\nb") == "by\n  a\n  b"
