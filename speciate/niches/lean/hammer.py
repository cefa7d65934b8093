"""What needs no model: the obvious one-line proofs, tried on a theorem in turn.

A prover that solves what these solve has learned to call a tactic. The list is short on purpose and stands here whole:
`rfl`, `decide`, `omega`, `simp`, `simp_all`, `grind`, and induction on each variable that is data and then `grind`,
each with what the context defines named as lemmas. What it does not try: search for lemmas, `fun_induction`, induction
over a generalized goal, witnesses, chains of tactics.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from speciate.niches.lean.verdict import LeanJob, LeanVerdict

OF_THE_JOB = ("context", "statement", "name")
HEARTBEATS = 20_000
"""More than a model's proof gets, so that the limit does not decide."""

_DEFINED = re.compile(r"^\s*(?:@\[[^\]]*\]\s*)?(?:def|abbrev|theorem)\s+([^\s({\[:]+)", re.MULTILINE)
_INDUCTIVE = re.compile(r"^inductive\s+([^\s({\[:]+)[^\n]*\n((?:[ \t]*\|[^\n]*\n?)+)", re.MULTILINE)
_CONSTRUCTOR = re.compile(r"\|\s*([^\s({\[:|]+)")
_BINDER = re.compile(r"[({]([^(){}:]+):\s*([^\s(){}:]+)[^(){}:→]*[)}]")
_DATA = frozenset(("Nat", "List", "Option", "Bool", "Fin"))

Check = Callable[[Iterable[LeanJob]], Iterable[LeanVerdict]]


@dataclass(frozen=True, slots=True)
class Struck:
    """What became of one theorem."""

    tactic: str
    """The first tactic that proves it; empty where none does."""
    ms: float
    """Time of all tries."""
    problem: str
    """Why the theorem itself cannot be judged; empty where it can."""


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
    data = _DATA | {name for name, _ in _INDUCTIVE.findall(job.context)}
    return [*found, *(f"induction {name} <;> grind{named}" for name in variables(job.statement, data))]


def variables(statement: str, types: Collection[str]) -> list[str]:
    """Names that the binders of a statement declare of one of the types, each once."""
    head = statement.rpartition(" : ")[0]
    groups = [names.split() for names, kind in _BINDER.findall(head) if kind in types]
    return list(dict.fromkeys(name for names in groups for name in names))


def strike(jobs: Sequence[LeanJob], check: Check) -> Iterator[Struck]:
    """The hammer on each theorem, in order, as they come; the jobs' own proofs are not looked at."""
    ways = [tactics(job) for job in jobs]
    asked = (
        replace(
            job, proof=f"by {way[0]}", others=tuple(f"by {tactic}" for tactic in way[1:]), max_heartbeats=HEARTBEATS
        )
        for job, way in zip(jobs, ways, strict=True)
    )
    for way, verdict in zip(ways, check(asked), strict=True):
        problem = f"{verdict.reason}: {verdict.message}" if verdict.reason in OF_THE_JOB else ""
        yield Struck(way[verdict.place] if verdict.proved else "", verdict.ms, problem)
