"""A `lake` for lean-dojo's Dojo: checks the file that it is to run, then speaks the protocol of Lean4Repl.lean about
one theorem, `(p q : Prop) (h : p ∧ q) : q ∧ p`.
"""

import json
import sys
from pathlib import Path
from typing import Any

START = "p q : Prop\nh : p ∧ q\n⊢ q ∧ p"
OPEN = "p q : Prop\nhp : p\nhq : q\n⊢ q ∧ p"
SPLIT = "p q : Prop\nhp : p\nhq : q\n⊢ q\n\np q : Prop\nhp : p\nhq : q\n⊢ p"
MOVES: dict[tuple[int, str], dict[str, Any]] = {
    (0, "obtain ⟨hp, hq⟩ := h"): {"sid": 1, "tacticState": OPEN, "error": None},
    (1, "constructor"): {"sid": 2, "tacticState": f"2 goals\n{SPLIT}", "error": None},
    (1, "exact ⟨hq, hp⟩"): {"sid": 3, "tacticState": "no goals", "error": None},
    (1, "sorry"): {"sid": None, "tacticState": None, "error": "proof contains `sorry`"},
}


def say(answer: dict[str, Any]) -> None:
    """One answer, as Lean4Repl.lean prints it."""
    sys.stdout.write(f"REPL> {json.dumps(answer, ensure_ascii=False)}\n")
    sys.stdout.flush()


def main() -> None:
    """Answer until the input ends."""
    assert sys.argv[1:3] == ["env", "lean"], sys.argv
    text = Path(sys.argv[-1]).read_text()
    assert text.startswith("import Lean4Repl\n"), text
    assert "q ∧ p :=by\n  lean_dojo_repl\n  sorry\n" in text, text
    sys.stdout.write("Small.lean:1:0: warning: something that is no answer\n")
    say({"sid": 0, "tacticState": START, "error": None})
    for line in sys.stdin:
        asked = json.loads(line)
        failed = {"sid": None, "tacticState": None, "error": f"type mismatch in {asked['cmd']}"}
        say(MOVES.get((asked["sid"], asked["cmd"]), failed))


main()
