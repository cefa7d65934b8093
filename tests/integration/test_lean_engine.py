"""What the Lean engine must accept and must refuse, with a real Lean. Every cheat is followed by an honest proof."""

import pytest

from speciate.niches.lean.engine import Lean, LeanJob, LeanVerdict

FALSE = "theorem t : (2 : Nat) + 2 = 5"
TRUE = "theorem t (x y : Nat) : x + y = y + x"
HONEST = LeanJob("", TRUE, "exact Nat.add_comm x y")
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


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_is_refused_and_the_next_proof_is_judged_right(lean: Lean, cheat: str) -> None:
    statement, proof = CHEATS[cheat]
    verdict = judge(lean, statement, proof)
    assert not verdict.proved, verdict
    assert verdict.reason not in ("ok", "crash", "timeout", "statement", "preamble"), verdict
    assert judge(lean, TRUE, HONEST.proof + f" -- after {cheat}").proved
