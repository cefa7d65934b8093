"""What the Lean engine makes of good and bad jobs, runaways, crashes and forged answers, with a real Lean."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from speciate.niches import contain
from speciate.niches.lean import native, setup
from speciate.niches.lean.engine import Lean
from speciate.niches.lean.verdict import LeanJob, LeanVerdict, by

pytestmark = pytest.mark.lean

FALSE = "theorem t : (2 : Nat) + 2 = 5"
TRUE = "theorem t (x y : Nat) : x + y = y + x"
HONEST = "exact Nat.add_comm x y"
BLOWUP = "theorem t : ∀ a b c : Fin 40, a + b + c = c + b + a"
TREE = """inductive Tree where
  | leaf : Tree
  | node : Tree → Nat → Tree → Tree
def Tree.mirror : Tree → Tree
  | .leaf => .leaf
  | .node l x r => .node r.mirror x l.mirror
def halves (n : Nat) : Nat := if n < 2 then 0 else 1 + halves (n - 2)
"""
MIRROR = "theorem t (a : Tree) : a.mirror.mirror = a"


def judge(lean: Lean, statement: str, tactics: str, context: str = "") -> LeanVerdict:
    return next(lean.check([LeanJob(context, statement, by(tactics))]))


HONEST_PROOFS = {
    "term": (TRUE, "exact Nat.add_comm x y"),
    "omega": (TRUE, "omega"),
    "intro": ("theorem t : ∀ p q : Prop, p ∧ q → q ∧ p", "intro p q ⟨hp, hq⟩\nexact ⟨hq, hp⟩"),
    "two lines": ("theorem t (p q : Prop) (hp : p) (hq : q) : p ∧ q", "constructor\n· exact hp\n· exact hq"),
    "induction": (MIRROR, "induction a with\n| leaf => rfl\n| node l x r hl hr => simp only [Tree.mirror, hl, hr]"),
    "fun_induction": ("theorem t (n : Nat) : halves n ≤ n", "fun_induction halves n <;> omega"),
    "structural": (MIRROR, "fun_induction Tree.mirror a <;> simp_all [Tree.mirror]"),
    "grind": ("theorem t (a b c : Nat) (h : a = b) (h' : b = c) : a = c", "grind"),
    "simp": ("theorem t (xs : List Nat) : (xs ++ []).length = xs.length", "simp"),
    "rw": ("theorem t (a b : Nat) (h : a = b) : b = a", "rw [h]"),
    "rcases": ("theorem t (p q : Prop) (h : p ∨ q) : q ∨ p", "rcases h with h | h\n· exact Or.inr h\n· exact Or.inl h"),
    "decide": ("theorem t : 3 ^ 5 = 243", "decide"),
    "decide +kernel": ("theorem t : (List.range 20).length = 20", "decide +kernel"),
    "calc": (
        "theorem t (a b c : Nat) (h : a = b) (g : b = c) : a = c",
        "calc\n  a = b := h\n  _ = c := g",
    ),
    "have and show": ("theorem t (n : Nat) (h : 0 < n) : n ≠ 0", "have g : 1 ≤ n := h\nshow n ≠ 0\nomega"),
    "open in": ("theorem t (p q : Prop) (h : q) : p ∨ q", "open Or in\nexact inr h"),
    "classical": ("theorem t (p : Prop) : p ∨ ¬p", "classical\nby_cases h : p\n· exact .inl h\n· exact .inr h"),
    "excluded middle": ("theorem t (p : Prop) : p ∨ ¬p", "exact Classical.em p"),
    "funext": ("theorem t (f g : Nat → Nat) (h : ∀ x, f x = g x) : f = g", "funext x\nexact h x"),
    "unicode": ("theorem t (α : Type) (β₁ : α) : β₁ = β₁", "-- ça va: ∀ ε > 0, 𝔸\nexact rfl"),
    "comment": (TRUE, "/- sorry, admit -/ omega -- set_option"),
    "array literal": ("theorem t : #[1, 2].size = 2", "rfl"),
    "string": ('theorem t : "sorry".length = 5', "decide"),
    "blank lines": (TRUE, "\n\nomega\n\n"),
    "indented": (TRUE, "  omega\n"),
    "exists": ("theorem t : ∃ n : Nat, n * n = 49", "exact ⟨7, rfl⟩"),
    "by cases on decidable": ("theorem t (b : Bool) : (b && false) = false", "cases b <;> rfl"),
    "bitvector": ("theorem t (x y : BitVec 8) : x &&& y = y &&& x", "exact BitVec.and_comm x y"),
    "universe": ("theorem t.{u} (α : Type u) (a : α) : a = a", "rfl"),
}


@pytest.mark.parametrize("proof", HONEST_PROOFS)
def test_an_honest_proof_is_proved(lean: Lean, proof: str) -> None:
    statement, body = HONEST_PROOFS[proof]
    verdict = judge(lean, statement, body, TREE)
    assert (verdict.verdict, verdict.reason) == ("accepted", ""), verdict


@pytest.mark.parametrize("proof", HONEST_PROOFS)
def test_no_honest_proof_proves_what_is_false(lean: Lean, proof: str) -> None:
    assert not judge(lean, FALSE, HONEST_PROOFS[proof][1], TREE).proved


@pytest.mark.parametrize(
    ("context", "statement", "reason"),
    [
        ("", "theorem t (x : Natt) : x = x", "statement"),
        ("", "theorem t (x : Nat) : x = y", "statement"),
        ("", "theorem t (x : α) : x = x", "statement"),
        ("", "theorem other : 1 = 1", "statement"),
        ("", "theorem t : 1 = 1 := rfl theorem u : 1 = 1", "statement"),
        ("", "def t : Nat", "statement"),
        ("", "example : 1 = 1", "statement"),
        ("theorem t : True := trivial", "theorem t : 1 = 1", "name"),
        ("def f : Nat := g", "theorem t : 1 = 1", "context"),
        ("theorem f : 1 = 2 := sorry", "theorem t : 1 = 1", "context"),
        ("theorem f : 1 = 2 := sorry\ndef g := 1", "theorem t : 1 = 1", "context"),
        ("def", "theorem t : 1 = 1", "context"),
        ("#eval (", "theorem t : 1 = 1", "context"),
    ],
)
def test_a_bad_job_is_told_from_a_bad_proof(lean: Lean, context: str, statement: str, reason: str) -> None:
    assert judge(lean, statement, "rfl", context).reason == reason


@pytest.mark.parametrize(
    ("context", "statement", "proof"),
    [
        ("open Or", "theorem t (p q : Prop) (h : q) : p ∨ q", "exact inr h"),
        ("namespace Zoo", "theorem t (n : Nat) : n = n", "rfl"),
        ("variable (n : Nat)", "theorem t : n = n", "rfl"),
        ("theorem half (n : Nat) : n / 2 ≤ n := by omega", "theorem t : 7 / 2 ≤ 7", "exact half 7"),
    ],
)
def test_a_context_holds_for_statement_and_proof(lean: Lean, context: str, statement: str, proof: str) -> None:
    verdict = judge(lean, statement, proof, context)
    assert verdict.proved, verdict


def test_an_axiom_of_the_context_is_rested_on_only_where_the_job_allows_it(lean: Lean) -> None:
    context = "axiom zoo (p : Prop) : p ∨ p → p\ntheorem keeper (p : Prop) (h : p ∨ p) : p := zoo p h"
    job = LeanJob(context, "theorem t (p : Prop) (h : p ∨ p) : p", "keeper p h")
    verdict = next(lean.check([job]))
    assert (verdict.verdict, verdict.reason) == ("rejected", "axiom")
    assert "zoo" in verdict.message
    verdict = next(lean.check([dataclasses.replace(job, axioms=("zoo",))]))
    assert (verdict.verdict, verdict.axioms) == ("accepted", ("zoo",))


def test_axioms_that_a_proof_names_are_told(lean: Lean) -> None:
    found = judge(lean, "theorem t (p q : Prop) (h : p ↔ q) : p = q", "exact propext h")
    assert found.axioms == ("propext",)


def test_a_track_leaves_tactics_out(lean: Lean) -> None:
    job = LeanJob("", TRUE, "by omega -- on a track", without=("omega", "simp"))
    assert [(found.verdict, found.reason) for found in lean.check([job])] == [("rejected", "tactic")]
    allowed = dataclasses.replace(job, proof="by rw [Nat.add_comm] -- simp, omega")
    assert next(lean.check([allowed])).proved


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("by\n  have : Nat := 7\n  omega", "by exact absurd this (by decide)"),
        ("by\n  letI : Add Nat := ⟨fun _ _ => 7⟩\n  exact Nat.add_comm x y", "by rfl"),
        ("by\n  open Nat in exact Nat.add_comm x y", "add_comm x y"),
        ("match x with | 0 => Nat.add_comm _ _ | _ + 1 => Nat.add_comm _ _", "by exact t.match_1"),
    ],
)
def test_nothing_of_a_proof_is_seen_by_the_next(lean: Lean, first: str, second: str) -> None:
    assert next(lean.check([LeanJob("", TRUE, first)])).proved
    assert not next(lean.check([LeanJob("", TRUE, second)])).proved
    assert next(lean.check([LeanJob("", TRUE, f"{first} -- again")])).proved


def test_a_name_that_is_taken_is_changed_where_it_is_a_label(lean: Lean) -> None:
    job = LeanJob("", "theorem «Nat».«add_comm» (a b : Nat) : a + b = b + a", "by omega", "Nat.add_comm")
    assert next(lean.check([job])).reason == "name"
    assert next(lean.check([dataclasses.replace(job, renamable=True)])).proved


def test_a_letter_is_a_variable_where_the_job_says_so(lean: Lean) -> None:
    job = LeanJob("", "theorem t (xs : List α) : xs ++ [] = xs", "by simp")
    assert next(lean.check([job])).reason == "statement"
    assert next(lean.check([dataclasses.replace(job, auto_implicit=True)])).proved
    misspelt = LeanJob("", "theorem t (x : Natt) : x = x", "rfl", auto_implicit=True)
    assert next(lean.check([misspelt])).reason == "statement"


def test_verdicts_come_in_order_and_say_how_long_and_which_lean(lean: Lean) -> None:
    numbers = [3, 1, 4, 1, 5, 9, 2, 6]
    jobs = [LeanJob("", f"theorem t : {number} < 5", "by decide -- in order") for number in numbers]
    found = list(lean.check(jobs))
    assert [verdict.proved for verdict in found] == [number < 5 for number in numbers]
    assert all(verdict.ms > 0 and verdict.lean == lean.version != "" for verdict in found)
    assert lean.engine == "embedded"


def test_a_long_error_is_cut(lean: Lean) -> None:
    assert len(judge(lean, f'theorem t : "{"a" * 3000}" = "b"', "skip").message) == 2000


def test_a_runaway_ends_by_its_limit(lean: Lean) -> None:
    verdict = judge(lean, BLOWUP, "decide")
    assert (verdict.verdict, verdict.reason) == ("timeout", "heartbeats")
    assert "heartbeats" in verdict.message


def test_a_hanging_proof_is_a_timeout(lean: Lean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "timeout_s", 1.0)
    verdict = next(lean.check([LeanJob("", BLOWUP, "by decide", max_heartbeats=1_000_000)]))
    assert (verdict.verdict, verdict.reason) == ("timeout", "time")
    monkeypatch.undo()
    assert judge(lean, TRUE, f"{HONEST} -- after a timeout").proved


def test_a_proof_that_eats_all_memory_is_a_crash(lean: Lean) -> None:
    verdict = judge(lean, "theorem t : (List.replicate 100000000 0).length = 100000000", "simp")
    assert (verdict.verdict, verdict.reason) == ("crashed", "memory")
    assert judge(lean, TRUE, f"{HONEST} -- after a crash").proved


def test_even_running_code_reaches_nothing_of_the_host(lean: Lean, tmp_path: Path) -> None:
    """Code runs from a preamble only; should a proof ever get there, what it can write is lost with the process."""
    for action in (
        f'IO.FS.writeFile "{tmp_path / "file"}" "x"',
        'IO.FS.writeFile "/library/Init.olean" "x"',
        f'discard (IO.FS.readFile "{__file__}")',
        f'discard (System.FilePath.readDir "{tmp_path}")',
        'discard (IO.Process.output { cmd := "id" })',
    ):
        assert judge(lean, "theorem t : True", "trivial", f"#eval ({action} : IO Unit)").reason == "context", action
    judge(lean, "theorem t : True", "trivial", f'#eval (IO.FS.createDirAll "{tmp_path / "folder"}" : IO Unit)')
    assert not list(tmp_path.iterdir())


def test_a_forged_verdict_on_standard_output_is_a_crash(lean: Lean) -> None:
    forged = '"{\\"nonce\\": \\"00\\", \\"reason\\": \\"ok\\", \\"detail\\": \\"\\", \\"ms\\": 1}"'
    spoof = f'#eval show IO Unit from do (← IO.FS.Handle.mk "/dev/stdout" .write).putStrLn {forged}'
    verdict = judge(lean, FALSE, "rfl", spoof)
    assert (verdict.verdict, verdict.reason) == ("crashed", "output")
    assert judge(lean, TRUE, f"{HONEST} -- after a forged verdict").proved


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.usefixtures("lean_home")
def test_no_process_outlives_a_killed_parent() -> None:
    source = (
        "import time\nfrom speciate.niches.lean.engine import Lean\n"
        "lean = Lean(); lean.start(); print(lean.judge._worker.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip()
        time.sleep(1)
        assert child.exists()
        parent.kill()
    for _ in range(200):
        if not child.exists() or ") Z " in (child / "stat").read_text():
            return
        time.sleep(0.1)
    pytest.fail("Lean still runs")


CONTAINMENTS: tuple[contain.Containment, ...] = ("bubblewrap", "namespaces", "limits", "none")


def stand_in(folder: Path) -> Path:
    """The embedded Lean in the place of a native one: a `lean` that is given the checker's text."""
    embedded = setup.ensure_embedded()
    environment = embedded.lean_environment({})
    path = folder / "toolchain" / "bin" / "lean"
    path.parent.mkdir(parents=True)
    path.write_text(
        '#!/bin/sh\n[ "$2" = --run ] || exit 1\n'
        f"export LEAN_WASM='{environment['LEAN_WASM']}' LEAN_PATH='{environment['LEAN_PATH']}'\n"
        'export LEAN_FILES="{\\"/checker.lean\\": \\"$3\\"}"\n'
        f"exec '{embedded.node}' '{embedded.made / 'lean.js'}' \"$1\" --run /checker.lean\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("lean_home")
@pytest.mark.parametrize("by", CONTAINMENTS)
def test_a_native_lean_runs_the_checker_from_its_text_contained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: contain.Containment
) -> None:
    if by not in contain.available():
        pytest.skip(f"this machine has no {by}")
    monkeypatch.setattr(contain, "containment", Mock(return_value=by))
    path = stand_in(tmp_path)
    embedded = setup.ensure_embedded()
    seen = ("/bin", "/usr/bin", embedded.node.parent.parent, embedded.package, embedded.made)
    monkeypatch.setenv(native.READS, os.pathsep.join(map(str, seen)))
    monkeypatch.delenv(native.CHOICE)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    with Lean() as lean:
        assert judge(lean, TRUE, f"{HONEST} -- natively, {by}").proved, lean.notes
        assert judge(lean, FALSE, f"rfl -- natively, {by}").reason == "error"
        assert (lean.engine, lean.notes) == ("native", [])
        bomb = judge(lean, "theorem t : (List.replicate 100000000 0).length = 100000000", f"simp -- {by}")
        assert (bomb.verdict, bomb.reason) == ("crashed", "memory")
        assert judge(lean, TRUE, f"{HONEST} -- again, {by}").proved
