"""A proof made tactic by tactic, through lean-dojo's Dojo, and judged whole by our own checker at the end.

Dojo says which goals a tactic leaves, which is what a search needs. That a proof is finished is only its guess: the
tactics are put together and shown to the judge like any other proof.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from speciate.errors import LeanUnavailable
from speciate.niches.lean.trace import library
from speciate.niches.lean.verdict import LeanJob, LeanVerdict, by


@dataclass(frozen=True, slots=True)
class Goals:
    """Where a proof stands."""

    shown: str
    """The goals as Lean prints them; empty where none is left."""
    tactics: tuple[str, ...] = ()
    """What led here."""
    state: Any = field(default=None, repr=False, compare=False)
    """Dojo's own."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A tactic that did not work, and why."""

    tactic: str
    why: str


class Stepper:
    """Tries tactics on one theorem."""

    def __init__(self, dojo: Any, first: Any, finished: type, failed: tuple[type, ...]) -> None:
        self._dojo = dojo
        self._finished = finished
        self._failed = failed
        self.start = Goals(str(getattr(first, "pp", first)), (), first)

    def step(self, goals: Goals, tactic: str) -> Goals | Failed:
        """The goals that a tactic leaves; from the same goals several may be tried."""
        found = self._dojo.run_tac(goals.state, tactic)
        if isinstance(found, self._failed):
            return Failed(tactic, str(getattr(found, "error", found)))
        shown = "" if isinstance(found, self._finished) else str(getattr(found, "pp", found))
        return Goals(shown, (*goals.tactics, tactic), found)


def judged(goals: Goals, job: LeanJob, check: Callable[[LeanJob], LeanVerdict]) -> LeanVerdict:
    """The judge's verdict on the tactics that led to these goals, as a proof of the job's statement."""
    return check(replace(job, proof=by("\n".join(goals.tactics))))


@contextmanager
def stepping(repository: Any, file: str, theorem: str, timeout_s: int = 600) -> Generator[Stepper]:
    """A stepper on a theorem of a repository that was traced. Raises LeanUnavailable where Dojo does not start."""
    dojo = library()
    from lean_dojo.interaction.dojo import DojoInitError, LeanError, ProofFinished, ProofGivenUp

    try:
        opened = dojo.Dojo(dojo.Theorem(repository, file, theorem), timeout=timeout_s)
        first = opened.__enter__()
    except (DojoInitError, OSError, RuntimeError) as error:
        raise LeanUnavailable(f"lean-dojo cannot step through {theorem!r}: {error}. It needs `lake` (elan)") from error
    try:
        yield Stepper(first[0], first[1], ProofFinished, (LeanError, ProofGivenUp, TimeoutError))
    finally:
        opened.__exit__(None, None, None)
