"""What needs no model: the obvious one-line proofs, tried on a theorem in turn.

A prover that solves what these solve has learned to call a tactic. The list is short on purpose and stands here whole:
`rfl`, `decide`, `omega`, `simp`, `simp_all`, `grind`, and induction on each variable and then `grind`, each with what
the context defines named as lemmas. What it does not try: search for lemmas, `fun_induction`, induction over a
generalized goal, witnesses, chains of tactics.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from speciate.niches.lean.verdict import LeanJob, LeanVerdict

HEARTBEATS = 20_000
"""More than a model's proof gets, so that the limit does not decide."""

_DEFINED = re.compile(r"^\s*(?:@\[[^\]]*\]\s*)?(?:def|abbrev|theorem)\s+([^\s({\[:]+)", re.MULTILINE)
_INDUCTIVE = re.compile(r"^inductive\s+([^\s({\[:]+)[^\n]*\n((?:[ \t]*\|[^\n]*\n?)+)", re.MULTILINE)
_CONSTRUCTOR = re.compile(r"\|\s*([^\s({\[:|]+)")
_BINDER = re.compile(r"[({]([^(){}:]+):")

Check = Callable[[Iterable[LeanJob]], Iterable[LeanVerdict]]


@dataclass(frozen=True, slots=True)
class Struck:
    """What became of one theorem."""

    tactic: str
    """The first tactic that proves it; empty where none does."""
    tried: int
    ms: float
    """Time of all tries."""
    problem: str = ""
    """Why the theorem itself cannot be judged."""


def tactics(job: LeanJob) -> list[str]:
    """The one-line proofs to try, the quickest first."""
    defined = _DEFINED.findall(job.context)
    built = [f"{name}.{part}" for name, body in _INDUCTIVE.findall(job.context) for part in _CONSTRUCTOR.findall(body)]
    lemmas = [list[str](), defined] if defined else [list[str]()]
    lemmas += [[*defined, *built]] if built else []
    found = ["rfl", "decide", "omega"]
    for used in lemmas:
        named = f" [{', '.join(used)}]" if used else ""
        found += [f"simp{named}", f"simp_all{named}", f"grind{named}"]
    named = f" [{', '.join(defined)}]" if defined else ""
    return [*found, *(f"induction {name} <;> grind{named}" for name in variables(job.statement))]


def variables(statement: str) -> list[str]:
    """Names that the binders of a statement declare, each once."""
    head = statement.rpartition(" : ")[0]
    return list(dict.fromkeys(name for group in _BINDER.findall(head) for name in group.split()))


def strike(jobs: Sequence[LeanJob], check: Check, on_jobs: Callable[[int], None] = lambda _: None) -> list[Struck]:
    """The hammer on each theorem (the jobs' own proofs are not looked at); `on_jobs` hears of each that is done with."""
    found: dict[int, Struck] = {}
    left = [(place, tactics(job), Struck("", 0, 0.0)) for place, job in enumerate(jobs)]
    while left:
        asked = [replace(jobs[place], proof=f"by {ways[0]}", max_heartbeats=HEARTBEATS) for place, ways, _ in left]
        again: list[tuple[int, list[str], Struck]] = []
        for (place, ways, before), verdict in zip(left, check(asked), strict=True):
            now = Struck("", before.tried + 1, before.ms + verdict.ms)
            if verdict.proved:
                now = replace(now, tactic=ways[0])
            elif verdict.reason in ("context", "statement", "name"):
                now = replace(now, problem=f"{verdict.reason}: {verdict.message}")
            elif len(ways) > 1:
                again.append((place, ways[1:], now))
                continue
            found[place] = now
            on_jobs(1)
        left = again
    return [found[place] for place in range(len(jobs))]


def share(struck: Iterable[Struck]) -> Iterator[float]:
    """1.0 for each theorem that the hammer proves, 0.0 for each other."""
    return (float(bool(found.tactic)) for found in struck)
