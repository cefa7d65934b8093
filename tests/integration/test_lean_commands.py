"""`speciate lean check`, `lean hammer` and `data trace` as a person calls them, with a real Lean."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.lean, pytest.mark.usefixtures("lean_home")]

PROGRAM = [sys.executable, "-c", "from speciate.cli import main; main()"]
ROWS = [
    {"id": "swap", "statement": "(p q : Prop) (h : p ∧ q) : q ∧ p", "proof": "⟨h.2, h.1⟩"},
    {"id": "Nat.add_comm", "statement": "(a b : Nat) : a + b = b + a", "proof": "by omega"},
    {"id": 3, "statement": ": 2 + 2 = 5", "proof": "by sorry", "kind": "a cheat"},
    {"id": "f", "statement": "(n : Nat) : f n = n + 1", "proof": "rfl", "context": "def f (n : Nat) := n + 1"},
    {"id": "\u001b[31mred", "statement": ": 1 = 1", "proof": "rfl"},
]


def speciate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "proofs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_check_answers_each_line_in_order(file: Path) -> None:
    done = speciate("lean", "check", str(file), "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in found] == [row["id"] for row in ROWS]
    assert [row["verdict"] for row in found] == ["accepted", "accepted", "rejected", "accepted", "accepted"]
    assert {tuple(row) for row in found} == {("id", "verdict", "reason", "message", "ms", "axioms", "engine", "lean")}


def test_check_shows_a_person_what_came_of_it(file: Path) -> None:
    done = speciate("lean", "check", str(file), "--without", "omega")
    assert done.returncode == 0, done.stderr
    assert "rejected  Nat.add_comm  tactic: " in done.stdout
    assert "3 of 5 accepted" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "f:1: "),
        ("", "holds no proof"),
        ('{"id": 1}', "no 'statement' and no 'proof'"),
        (None, "there is no file"),
    ],
)
def test_a_file_that_cannot_be_read_is_bad_input(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "f").write_text(content)
    done = speciate("lean", "check", str(tmp_path / "f"), "--json")
    assert done.returncode == 2
    assert words in done.stderr
    assert json.loads(done.stdout)["exit"] == 2


def test_hammer_says_what_needs_no_model(tmp_path: Path) -> None:
    rows = [
        {"id": "easy", "statement": "(a b : Nat) : a + b = b + a"},
        {"id": "hard", "statement": "(a b : Type) (f : a → b) (x : a) : Nonempty b"},
        {"id": "broken", "statement": ": foo = bar"},
    ]
    (tmp_path / "f").write_text("\n".join(map(json.dumps, rows)))
    done = speciate("lean", "hammer", str(tmp_path / "f"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["schema"], found["solved"], found["n"]) == ("lean-hammer/1", 1, 3)
    assert [row["tactic"] for row in found["theorems"]] == ["omega", "", ""]
    assert found["theorems"][2]["problem"].startswith("statement: ")
    assert 0 < found["ci95"][0] < 1 / 3 < found["ci95"][1] < 1


@pytest.mark.parametrize("choice", ["interact", "kimina", "interact:/no/such/project"])
def test_half_a_choice_of_engine_is_told(file: Path, choice: str) -> None:
    done = speciate("lean", "check", str(file), SPECIATE_LEAN=choice)
    assert done.returncode == (5 if ":" in choice else 2)
    assert choice.partition(":")[2] in done.stderr
    assert "Traceback" not in done.stderr


def test_trace_without_lake_says_what_it_needs(tmp_path: Path) -> None:
    done = speciate("data", "trace", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "neither a folder nor the address" in done.stderr
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    done = speciate("data", "trace", str(tmp_path))
    assert done.returncode in (2, 5)
    assert "Traceback" not in done.stderr


LEAN_FILE = """import Std
/-! A file as people keep them. -/

namespace Zoo
/-- Adds one: not a theorem := here -/
def next (n : Nat) : Nat := n + 1

@[simp] theorem next_eq (n : Nat) (h : n = n := rfl) : next n = n + 1 := rfl

theorem wrong : next 1 = 3 := by
  decide

lemma twice (n : Nat) : next (next n) = n + 2 := by
  simp

theorem rests_on_wrong : next 1 = 3 := wrong
end Zoo

theorem outside : Zoo.next 1 = 2 := by /- := -/
  exact Zoo.next_eq 1
"""


def test_check_takes_an_ordinary_lean_file(tmp_path: Path) -> None:
    path = tmp_path / "zoo.lean"
    path.write_text(LEAN_FILE)
    done = speciate("lean", "check", str(path), "--json")
    assert done.returncode == 0, done.stderr
    found = {row["id"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert {name: row["verdict"] for name, row in found.items()} == {
        "next_eq": "accepted", "wrong": "rejected", "twice": "accepted", "rests_on_wrong": "rejected",
        "outside": "accepted",
    }, found  # fmt: skip
    path.write_text("import Mathlib\n" + LEAN_FILE)
    done = speciate("lean", "check", str(path))
    assert done.returncode == 2
    assert "imports Mathlib" in done.stderr
