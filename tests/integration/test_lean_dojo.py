"""lean-dojo's own classes on what its Lean programs would say: a traced file, written as `ExtractData.lean` writes it,
is read into rows, and a proof is made tactic by tactic with a stand-in that speaks the protocol of `Lean4Repl.lean`.

The two Lean programs themselves are not run: they need `lake`, and the embedded Lean does not compile them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from speciate.errors import LeanUnavailable
from speciate.niches.lean import stepping, trace
from speciate.niches.lean.engine import Lean
from speciate.niches.lean.verdict import LeanJob

# lean-dojo leaves the files that it reads open.
pytestmark = [
    pytest.mark.usefixtures("lean_home"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

STANDIN = Path(__file__).parents[1] / "standins" / "dojo_repl.py"
STATEMENT = "theorem swap (p q : Prop) (h : p ∧ q) : q ∧ p"
TACTICS = ("obtain ⟨hp, hq⟩ := h", "exact ⟨hq, hp⟩")
SMALL = f"""/-! A file as people keep them. -/

{STATEMENT} := by
  {TACTICS[0]}
  {TACTICS[1]}

theorem by_term : 1 + 1 = 2 := rfl
"""
STATES = ("p q : Prop\nh : p ∧ q\n⊢ q ∧ p", "p q : Prop\nhp : p\nhq : q\n⊢ q ∧ p", "no goals")
Tree = dict[str, Any]


class Syntax:
    """Makes the syntax tree of a text, piece by piece, in the order of the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def _info(self, piece: str) -> Tree:
        start = self.text.index(piece, self.at)
        self.at = start + len(piece)
        place, end = (len(self.text[:stop].encode()) for stop in (start, self.at))
        return {"original": {"leading": "", "pos": place, "trailing": " ", "endPos": end}}

    def atom(self, piece: str) -> Tree:
        """A word of Lean's."""
        return {"atom": {"info": self._info(piece), "val": piece}}

    def ident(self, piece: str) -> Tree:
        """A name."""
        return {"ident": {"info": self._info(piece), "rawVal": piece, "val": piece, "preresolved": []}}

    def theorem(self, name: str, signature: str, proof: str) -> Tree:
        """A theorem whose proof is one word, or `by` and a tactic on each line."""
        word, ident, rest = self.atom("theorem"), self.ident(name), self.atom(signature)
        equals = self.atom(":=")
        if proof.startswith("by"):
            by = self.atom("by")
            steps: list[Tree] = []
            for line in proof.splitlines()[1:]:
                steps += [node("Zoo.tactic", self.atom(line.strip())), node("null")]
            inner = node("Lean.Parser.Tactic.tacticSeq1Indented", node("null", *steps[:-1]))
            shown = node("Lean.Parser.Term.byTactic", by, node("Lean.Parser.Tactic.tacticSeq", inner))
        else:
            shown = self.ident(proof)
        return node(
            "Lean.Parser.Command.declaration",
            node("Lean.Parser.Command.declModifiers"),
            node(
                "Lean.Parser.Command.theorem",
                word,
                node("Lean.Parser.Command.declId", ident, node("null")),
                node("Lean.Parser.Command.declSig", rest),
                node("Lean.Parser.Command.declValSimple", equals, shown),
            ),
        )


def node(kind: str, *children: Tree) -> Tree:
    return {"node": {"kind": kind, "info": "none", "args": list(children)}}


def traced() -> Tree:
    """What `ExtractData.lean` writes of SMALL."""
    syntax = Syntax(SMALL)
    proof = f"by\n  {TACTICS[0]}\n  {TACTICS[1]}"
    commands = [
        node("Lean.Parser.Module.header", node("null"), node("null")),
        syntax.theorem("swap", STATEMENT.removeprefix("theorem swap "), proof),
        syntax.theorem("by_term", ": 1 + 1 = 2", "rfl"),
    ]
    tactics: list[Tree] = []
    for tactic, before, after in zip(TACTICS, STATES, STATES[1:], strict=False):
        start = len(SMALL[: SMALL.index(tactic)].encode())
        tactics.append(
            {"pos": start, "endPos": start + len(tactic.encode()), "stateBefore": before, "stateAfter": after}
        )
    return {"commandASTs": commands, "tactics": tactics, "premises": []}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository under git, as `lean_dojo.trace` leaves it."""
    folder = tmp_path / "zoo"
    out = folder / ".lake" / "build" / "ir"
    out.mkdir(parents=True)
    (out / "Small.ast.json").write_text(json.dumps(traced()))
    (out / "Small.dep_paths").write_text("\n")
    (folder / "Small.lean").write_text(SMALL)
    (folder / "Lean4Repl.lean").write_text("-- lean-dojo puts its program here\n")
    (folder / "lean-toolchain").write_text("leanprover/lean4:v4.28.0\n")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a zoo"]):
        name = ("-c", "user.name=zoo", "-c", "user.email=zoo@example.org")
        subprocess.run(["git", *name, *arguments], cwd=folder, check=True)
    return folder


def repo_of(folder: Path) -> Any:
    """The repository as lean-dojo knows it; its cache is in the home."""
    trace.library()
    from lean_dojo.data_extraction.lean import LeanGitRepo

    return LeanGitRepo.from_path(folder)


def test_a_traced_file_is_read_into_rows(repository: Path) -> None:
    repo = repo_of(repository)
    from lean_dojo.data_extraction.traced_data import TracedFile, TracedRepo

    file = TracedFile.from_traced_file(repository, repository / ".lake" / "build" / "ir" / "Small.ast.json", repo)
    whole = TracedRepo(repo, {}, repository, [file], None)
    file.traced_repo = whole
    assert [found.theorem.full_name for found in whole.get_traced_theorems()] == ["swap", "by_term"]
    assert list(trace.rows(whole)) == [
        trace.TracedRow("proof", "Small.lean", "swap", STATEMENT, f"by\n  {TACTICS[0]}\n  {TACTICS[1]}"),
        trace.TracedRow("tactic", "Small.lean", "swap", STATES[0], TACTICS[0], STATES[1]),
        trace.TracedRow("tactic", "Small.lean", "swap", STATES[1], TACTICS[1], "no goals"),
    ]


@pytest.mark.lean
def test_a_proof_is_made_tactic_by_tactic_and_judged_by_our_checker(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = repo_of(repository)
    from lean_dojo.interaction import dojo

    lake = tmp_path / "bin" / "lake"
    lake.parent.mkdir()
    lake.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STANDIN}" "$@"\n')
    lake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{lake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(dojo, "get_traced_repo_path", Mock(return_value=repository))
    with stepping.stepping(repo, "Small.lean", "swap") as stepper:
        assert stepper.start.shown == STATES[0]
        wrong = stepper.step(stepper.start, "exact h")
        assert wrong == stepping.Failed("exact h", "type mismatch in exact h")
        one = stepper.step(stepper.start, TACTICS[0])
        assert isinstance(one, stepping.Goals)
        assert one.shown == STATES[1]
        assert isinstance(stepper.step(one, "sorry"), stepping.Failed)
        two = stepper.step(one, "constructor")
        assert isinstance(two, stepping.Goals)
        assert two.shown.count("⊢") == 2
        done = stepper.step(one, TACTICS[1])
        assert isinstance(done, stepping.Goals)
        assert (done.shown, done.tactics) == ("", TACTICS)
    job = LeanJob("", "theorem t (p q : Prop) (h : p ∧ q) : q ∧ p", "sorry")
    with Lean() as judge:
        assert stepping.judged(done, job, lambda asked: next(judge.check([asked]))).proved
        assert not stepping.judged(one, job, lambda asked: next(judge.check([asked]))).proved


def test_stepping_without_lake_says_what_it_needs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = repo_of(repository)
    from lean_dojo.interaction import dojo

    monkeypatch.setattr(dojo, "get_traced_repo_path", Mock(side_effect=RuntimeError("no lake")))
    with pytest.raises(LeanUnavailable, match="needs `lake`"), stepping.stepping(repo, "Small.lean", "swap"):
        pass
