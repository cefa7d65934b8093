"""A Lean repository as data, through lean-dojo: theorems with their proofs, tactics with the goals that they meet.

lean-dojo builds the repository with the user's own toolchain, with a program of its own in it, and so needs `git` and
`lake`. The repository is trusted: building it runs what it says. lean-dojo's own opinion of a proof (`check_proof`) is
never asked: it takes `sorry` for a proof on Lean 4.28.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from speciate import storage
from speciate.errors import InputError, LeanUnavailable

if TYPE_CHECKING:
    from lean_dojo.data_extraction.traced_data import TracedRepo, TracedTheorem


@dataclass(frozen=True, slots=True)
class TracedRow:
    """One theorem with a proof by tactics, or one tactic of such a proof."""

    kind: Literal["proof", "tactic"]
    file: str
    """Path in the repository."""
    theorem: str
    """Full name."""
    prompt: str
    """The statement, or the goals that the tactic met."""
    answer: str
    """The proof, `by` included, or the tactic."""
    goals_after: str = ""
    """Of a tactic: what it left."""


def trace(repository: str, commit: str | None = None) -> "TracedRepo":
    """Build and read a repository: a folder under git, or an address and a commit. Kept in the home's cache.

    Raises InputError where it is no repository, LeanUnavailable where `lake` or lean-dojo is missing or a build fails.
    """
    dojo = library()
    folder = Path(repository).expanduser()
    if not folder.exists() and "://" not in repository:
        raise InputError(f"{repository!r} is neither a folder nor the address of a repository")
    if not folder.exists() and commit is None:
        raise InputError(f"tracing {repository!r} needs a commit (--commit), so that it can be done again")
    try:
        found = (
            dojo.LeanGitRepo.from_path(folder.resolve()) if folder.exists() else dojo.LeanGitRepo(repository, commit)
        )
    except Exception as error:
        raise InputError(f"{repository!r} is no Lean repository under git: {error}") from error
    try:
        return dojo.trace(found, build_deps=False)
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise LeanUnavailable(
            f"lean-dojo could not build and trace {repository!r}: {type(error).__name__}: {text}. "
            "It needs git, wget and `lake` (install elan), and a repository that builds"
        ) from error


def rows(repository: "TracedRepo") -> Iterator[TracedRow]:
    """The rows of a traced repository: each theorem that was proved by tactics, followed by those tactics."""
    for theorem in repository.get_traced_theorems():
        yield from rows_of(theorem)


def rows_of(theorem: "TracedTheorem") -> Iterator[TracedRow]:
    """The rows of one theorem; none where it has no proof by tactics."""
    proof = theorem.get_tactic_proof()
    if proof is None:
        return
    file, name = str(theorem.file_path), theorem.theorem.full_name
    statement = theorem.get_theorem_statement().strip().removesuffix(":=").strip()
    yield TracedRow("proof", file, name, statement, proof.strip())
    for tactic in theorem.get_traced_tactics():
        if tactic.state_before != "no goals":
            yield TracedRow("tactic", file, name, tactic.state_before, tactic.tactic.strip(), tactic.state_after)


def library() -> Any:
    """The package `lean_dojo`, kept from calling home. Raises LeanUnavailable where it is missing."""
    os.environ["DISABLE_REMOTE_CACHE"] = "1"
    os.environ.setdefault("CACHE_DIR", str(storage.home() / "cache" / "lean-dojo"))
    try:
        import lean_dojo
    except ImportError as error:
        raise LeanUnavailable(f"lean-dojo cannot be imported (it needs Python 3.11 or 3.12): {error}") from error
    return lean_dojo
