"""What the Lean engine must accept and must refuse, with a real Lean. Every cheat is followed by an honest proof."""

import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from speciate.niches.lean import gate, native, setup
from speciate.niches.lean.engine import Lean, LeanJob, LeanVerdict

pytestmark = pytest.mark.lean

FALSE = "theorem t : (2 : Nat) + 2 = 5"
TRUE = "theorem t (x y : Nat) : x + y = y + x"
HONEST = "exact Nat.add_comm x y"
BLOWUP = "theorem t : ∀ a b c : Fin 40, a + b + c = c + b + a"
NOT_OF_THE_PROOF = {"ok", "crash", "timeout", "statement", "preamble"}
TREE = """inductive Tree where
  | leaf : Tree
  | node : Tree → Nat → Tree → Tree
def Tree.mirror : Tree → Tree
  | .leaf => .leaf
  | .node l x r => .node r.mirror x l.mirror
def halves (n : Nat) : Nat := if n < 2 then 0 else 1 + halves (n - 2)
"""
MIRROR = "theorem t (a : Tree) : a.mirror.mirror = a"


def judge(lean: Lean, statement: str, proof: str, preamble: str = "") -> LeanVerdict:
    return next(lean.check([LeanJob(preamble, statement, proof)]))


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
    assert (verdict.proved, verdict.reason) == (True, "ok"), verdict


# Numbers are the rows of the list of cheats that the checker was built against.
CHEATS = {
    "2 sorry": (FALSE, "sorry"),
    "2 admit": (FALSE, "admit"),
    "2 stop": (FALSE, "stop rfl"),
    "3 sorryAx": (FALSE, "exact sorryAx _ false"),
    "3 sorryAx synthetic": (FALSE, "exact sorryAx _ true"),
    "3 sorryAx by parts": (FALSE, "exact «sorryAx» _ false"),
    "4 warn.sorry": (FALSE, "set_option warn.sorry false in sorry"),
    "5 terminalTacticsAsSorry": (FALSE, "set_option debug.terminalTacticsAsSorry true in omega"),
    "5 byAsSorry": (FALSE, "set_option debug.byAsSorry true in exact (by rfl)"),
    "6 hidden in have": (FALSE, "have h : False := by sorry\nexact h.elim"),
    "6 hidden in first": (FALSE, "first | rfl | sorry"),
    "6 hidden in where": (FALSE, "exact h where h : _ := sorry"),
    "7 macro": (FALSE, 'macro "omega" : tactic => `(tactic| sorry)\nomega'),
    "8 apply?": (FALSE, "apply?"),
    "8 exact?": (TRUE, "exact?"),
    "9 axiom": (FALSE, "skip\n\naxiom h : False"),
    "13 native_decide": ("theorem t : 3 ^ 5 = 243", "native_decide"),
    "13 decide +native": ("theorem t : 3 ^ 5 = 243", "decide +native"),
    "13 decide config": ("theorem t : 3 ^ 5 = 243", "decide (config := { native := true })"),
    "13 bv_decide": ("theorem t (x y : BitVec 8) : x &&& y = y &&& x", "bv_decide"),
    "15 ofReduceBool": (FALSE, "exact absurd (Lean.ofReduceBool (decide (2 + 2 = 5)) true rfl) (by decide)"),
    "17 skipKernelTC": (FALSE, "set_option debug.skipKernelTC true in decide +kernel"),
    "17 wrong decide +kernel": (FALSE, "decide +kernel"),
    "22 run_tac": (FALSE, "run_tac Lean.Elab.Tactic.admitGoal (← Lean.Elab.Tactic.getMainGoal)"),
    "22 by_elab": (FALSE, "exact by_elab return default"),
    "31 comment to the end": (FALSE, "/- "),
    "31 exit": (FALSE, "skip\n#exit"),
    "32 end": (FALSE, "skip\nend\ntheorem a : True := trivial"),
    "32 again": (FALSE, "skip\ntheorem t : True := trivial"),
    "33 trailing theorem": (TRUE, "omega\n\ntheorem b (p : Prop) : p → p := id"),
    "33 trailing eval": (TRUE, "omega\n#eval 1"),
    "33 trailing text": (TRUE, "omega\n)"),
    "38 itself": (FALSE, "exact t"),
    "38 itself, through structure": (
        "theorem t (n : Nat) : n = n + 1",
        "cases n with\n| zero => exact t 0\n| succ n => exact t _",
    ),
    "38 decreasing_by": ("theorem t (n : Nat) : n = n + 1", "exact t n\ndecreasing_by all_goals sorry"),
    "38 termination_by": ("theorem t (n : Nat) : n = n", "exact rfl\ntermination_by n"),
    "39 eval a write": (TRUE, 'omega\n\n#eval IO.println "{\\"reason\\": \\"ok\\"}"'),
    "39 run_cmd": (TRUE, 'omega\n\nrun_cmd IO.FS.writeFile "/dev/stdout" "x"'),
    "40 exit": (TRUE, "omega\n\n#eval (IO.Process.exit 0 : IO Unit)"),
    "40 sleep": (TRUE, "sleep 600000\nomega"),
    "41 write": (TRUE, 'omega\n\n#eval IO.FS.writeFile "written.txt" "x"'),
    "41 include_str": (TRUE, 'have h := include_str "/etc/passwd"\nomega'),
    "43 maxRecDepth": (FALSE, "set_option maxRecDepth 1000000 in decide"),
    "43 maxHeartbeats": (FALSE, "set_option maxHeartbeats 0 in omega"),
    "44 parentheses": (FALSE, "exact " + "(" * 3000 + "rfl" + ")" * 3000),
    "46 huge power": ("theorem t : 2 ^ (2 ^ 30) % 7 = 1", "decide"),
    "46 huge literal": (FALSE, "exact absurd (rfl : 1" + "0" * 4000 + " = 2) (by decide)"),
    "let rec": (FALSE, "let rec f (n : Nat) : n = n := rfl\nexact f"),
    "quotation": (FALSE, "exact (`(1) : Nat)"),
    "unsafe": (FALSE, "exact unsafe (unsafeCast ())"),
    "dbg_trace": (FALSE, 'exact dbg_trace "x"; rfl'),
    "too long": (TRUE, "omega --" + "x" * 9000),
    "bidi": (TRUE, "omega \u202e"),
    "wrong": (FALSE, "rfl"),
    "unfinished": (TRUE, "skip"),
    "empty": (TRUE, ""),
    "unknown name": (TRUE, "exact Nat.no_such_lemma x y"),
    "bad indentation": (TRUE, "constructor\n    · omega\n  · omega"),
    "local instance": (FALSE, "letI : HAdd Nat Nat Nat := ⟨fun _ _ => 5⟩\nrfl"),
    "weaker": (FALSE, "exact (rfl : (2 : Nat) + 2 = 4)"),
    "metavariable left": ("theorem t : ∃ n : Nat, n = 3", "refine ⟨?_, ?_⟩"),
    "unreachable code": (FALSE, "unreachable!"),
}


UNREADABLE = {"44 parentheses", "too long", "46 huge literal", "bidi"}
"""What the text gate alone keeps from Lean: sizes that crash a parser, and what only a reader could overlook."""


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_refused_and_the_next_proof_is_judged_right(lean: Lean, cheat: str) -> None:
    statement, proof = CHEATS[cheat]
    verdict = judge(lean, statement, proof)
    assert not verdict.proved, verdict
    assert verdict.reason not in NOT_OF_THE_PROOF, verdict
    assert judge(lean, TRUE, f"{HONEST} -- after {cheat}").proved


@pytest.mark.parametrize("cheat", CHEATS.keys() - UNREADABLE)
def test_lean_refuses_the_cheat_without_the_text_gate(lean: Lean, cheat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "refusal", Mock(return_value=None))
    statement, proof = CHEATS[cheat]
    verdict = judge(lean, statement, f"{proof}\n")
    assert not verdict.proved, verdict
    assert verdict.reason not in NOT_OF_THE_PROOF, verdict


@pytest.mark.parametrize("proof", HONEST_PROOFS)
def test_no_honest_proof_proves_what_is_false(lean: Lean, proof: str) -> None:
    assert not judge(lean, FALSE, HONEST_PROOFS[proof][1], TREE).proved


@pytest.mark.parametrize(
    ("preamble", "statement", "reason"),
    [
        ("", "theorem t (x : Natt) : x = x", "statement"),
        ("", "theorem t (x : Nat) : x = y", "statement"),
        ("", "theorem t (x : α) : x = x", "statement"),
        ("", "theorem other : 1 = 1", "statement"),
        ("", "theorem t : 1 = 1 := rfl theorem u : 1 = 1", "statement"),
        ("", "def t : Nat", "statement"),
        ("", "example : 1 = 1", "statement"),
        ("theorem t : True := trivial", "theorem t : 1 = 1", "statement"),
        ("def f : Nat := g", "theorem t : 1 = 1", "preamble"),
        ("theorem f : 1 = 2 := sorry", "theorem t : 1 = 1", "preamble"),
        ("theorem f : 1 = 2 := sorry\ndef g := 1", "theorem t : 1 = 1", "preamble"),
        ("def", "theorem t : 1 = 1", "preamble"),
        ("#eval (", "theorem t : 1 = 1", "preamble"),
    ],
)
def test_a_bad_job_is_told_from_a_bad_proof(lean: Lean, preamble: str, statement: str, reason: str) -> None:
    assert judge(lean, statement, "rfl", preamble).reason == reason


@pytest.mark.parametrize(
    ("preamble", "statement", "proof"),
    [
        ("open Or", "theorem t (p q : Prop) (h : q) : p ∨ q", "exact inr h"),
        ("namespace Zoo", "theorem t (n : Nat) : n = n", "rfl"),
        ("variable (n : Nat)", "theorem t : n = n", "rfl"),
        ("axiom zoo (p : Prop) : p ∨ p → p", "theorem t (p : Prop) (h : p ∨ p) : p", "exact zoo p h"),
        ("theorem half (n : Nat) : n / 2 ≤ n := by omega", "theorem t : 7 / 2 ≤ 7", "exact half 7"),
    ],
)
def test_a_preamble_holds_for_statement_and_proof(lean: Lean, preamble: str, statement: str, proof: str) -> None:
    verdict = judge(lean, statement, proof, preamble)
    assert verdict.proved, verdict


def test_verdicts_come_in_order_and_say_how_long_and_which_lean(lean: Lean) -> None:
    numbers = [3, 1, 4, 1, 5, 9, 2, 6]
    jobs = [LeanJob("", f"theorem t : {number} < 5", "decide -- in order") for number in numbers]
    found = list(lean.check(jobs))
    assert [verdict.proved for verdict in found] == [number < 5 for number in numbers]
    assert all(verdict.ms > 0 and verdict.lean == lean.version != "" for verdict in found)
    assert lean.engine == "embedded"


def test_a_long_error_is_cut(lean: Lean) -> None:
    assert len(judge(lean, f'theorem t : "{"a" * 3000}" = "b"', "skip").detail) == 2000


def test_a_runaway_ends_by_its_limit(lean: Lean) -> None:
    verdict = judge(lean, BLOWUP, "decide")
    assert verdict.reason == "error"
    assert "heartbeats" in verdict.detail


def test_a_hanging_proof_is_a_timeout(lean: Lean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "timeout_s", 1.0)
    verdict = next(lean.check([LeanJob("", BLOWUP, "decide", max_heartbeats=1_000_000)]))
    assert (verdict.proved, verdict.reason) == (False, "timeout")
    monkeypatch.undo()
    assert judge(lean, TRUE, f"{HONEST} -- after a timeout").proved


def test_a_proof_that_eats_all_memory_is_a_crash(lean: Lean) -> None:
    verdict = judge(lean, "theorem t : (List.replicate 100000000 0).length = 100000000", "simp")
    assert (verdict.proved, verdict.reason) == (False, "crash")
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
        assert judge(lean, "theorem t : True", "trivial", f"#eval ({action} : IO Unit)").reason == "preamble", action
    judge(lean, "theorem t : True", "trivial", f'#eval (IO.FS.createDirAll "{tmp_path / "folder"}" : IO Unit)')
    assert not list(tmp_path.iterdir())


def test_a_forged_verdict_on_standard_output_is_a_crash(lean: Lean) -> None:
    forged = '"{\\"nonce\\": \\"00\\", \\"reason\\": \\"ok\\", \\"detail\\": \\"\\", \\"ms\\": 1}"'
    spoof = f'#eval show IO Unit from do (← IO.FS.Handle.mk "/dev/stdout" .write).putStrLn {forged}'
    verdict = judge(lean, FALSE, "rfl", spoof)
    assert (verdict.proved, verdict.reason) == (False, "crash")
    assert judge(lean, TRUE, f"{HONEST} -- after a forged verdict").proved


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.usefixtures("lean_home")
def test_no_process_outlives_a_killed_parent() -> None:
    source = (
        "import time\nfrom speciate.niches.lean.engine import Lean\n"
        "lean = Lean(); lean.start(); print(lean._worker.pid, flush=True); time.sleep(600)"
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


@pytest.mark.usefixtures("lean_home")
def test_a_native_lean_runs_the_checker_from_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded Lean in the place of a native one: a `lean` on PATH that is given the checker's text."""
    embedded = setup.ensure_embedded()
    environment = embedded.environment()
    stand_in = tmp_path / "lean"
    stand_in.write_text(
        '#!/bin/sh\n[ "$2" = --run ] || exit 1\n'
        f"export LEAN_WASM='{environment['LEAN_WASM']}' LEAN_PATH='{environment['LEAN_PATH']}'\n"
        'export LEAN_FILES="{\\"/checker.lean\\": \\"$3\\"}"\n'
        f"exec '{embedded.node}' --liftoff-only '{embedded.made / 'lean.js'}' \"$1\" --run /checker.lean\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.delenv(native.CHOICE)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with Lean() as lean:
        assert judge(lean, TRUE, f"{HONEST} -- natively").proved
        assert judge(lean, FALSE, "rfl -- natively").reason == "error"
        assert (lean.engine, lean.notes) == ("native", [])
