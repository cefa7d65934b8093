"""What is asked of a Lean and what it says: jobs, verdicts and the classes of reasons. Pure; starts no Lean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from speciate.storage import digest_json

Outcome = Literal["accepted", "rejected", "timeout", "crashed"]

LONGEST_MESSAGE = 2000

FORBIDDEN: Mapping[str, str] = {
    "command": "the proof goes on with another command",
    "option": "the proof sets an option",
    "sorry": "the proof leaves something unproved",
    "native": "the proof trusts compiled code instead of the kernel",
    "metaprogramming": "the proof runs or defines code that makes proofs",
    "declaration": "the proof declares helpers or measures of its own",
    "unsafe": "the proof uses what Lean calls unsafe",
    "effect": "the proof reads files, prints or sleeps",
    "search": "the proof asks Lean to search for a proof",
    "tactic": "the proof uses a tactic that this track leaves out",
    "axiom": "the theorem rests on an axiom that is not allowed",
}
"""Classes of what no proof may hold; a verdict names the word too."""

REASONS: Mapping[str, str] = {
    **FORBIDDEN,
    # The text, before Lean reads it.
    "size": "the proof is too long to be read",
    "characters": "the proof holds characters that cannot be seen, or are none",
    "nesting": "the proof nests too deeply",
    "literal": "the proof holds a number that is too long",
    # The parsed text.
    "parse": "the proof is no term and no block of tactics",
    # What Lean makes of it.
    "incomplete": "goals are left unsolved",
    "recursion": "the theorem calls itself without getting smaller",
    "depth": "the proof goes deeper than Lean allows",
    "error": "Lean does not accept the proof",
    "type": "another theorem was proved",
    "kernel": "the kernel does not accept what was added",
    # The job itself; the proof was not judged.
    "context": "the context does not stand",
    "statement": "the statement states no theorem",
    "name": "the name of the theorem is taken",
    # No judgement.
    "heartbeats": "the proof takes too many steps",
    "time": "the proof takes too long",
    "memory": "the proof takes too much memory",
    "output": "the process said what no judge says",
    "process": "the process ended",
}
"""Every reason that a verdict can have, with its meaning."""

_OF_THE_ERROR = (
    ("heartbeats", re.compile(r"\(deterministic\) timeout|deterministic timeout|maximum number of heartbeats")),
    ("depth", re.compile(r"maximum recursion depth|deep recursion|stack overflow")),
    ("recursion", re.compile(r"fail to show termination|structural recursion|termination proof|decreasing")),
    ("incomplete", re.compile(r"^unsolved goals|don't know how to synthesize|cannot synthesize placeholder")),
)


@dataclass(frozen=True, slots=True)
class LeanJob:
    """One proof to check. Context and statement are trusted, the proof is not."""

    context: str
    """Definitions that the statement and the proof may use; commands, checked once for jobs in a row."""
    statement: str
    """`theorem t (x : Nat) : ...`, without `:=`."""
    proof: str
    """What stands after `:=`: a term, or `by` and a block of tactics."""
    name: str = "t"
    """The theorem's name, as the statement has it; parts of it are parted by dots."""
    others: tuple[str, ...] = ()
    """Proofs to try in turn where this one fails."""
    max_heartbeats: int | None = None
    """As Lean's option `maxHeartbeats`; the default stops a runaway after a few seconds."""
    without: tuple[str, ...] = ()
    """Tactics that the proof must do without."""
    axioms: tuple[str, ...] = ()
    """Axioms of the context that the proof may rest on."""
    auto_implicit: bool = False
    """Whether a letter that the statement does not declare is a variable of it, as in an ordinary Lean file."""
    renamable: bool = False
    """Whether the name is only a label, which is changed where it is taken; the statement is then `stated` with it."""


@dataclass(frozen=True, slots=True)
class LeanVerdict:
    """What Lean says of one job."""

    verdict: Outcome
    reason: str
    """One of REASONS; empty where the proof was accepted."""
    message: str
    """Lean's first error, the forbidden word, or what became of the process."""
    ms: float
    """Time that Lean took, when it judged."""
    axioms: tuple[str, ...] = ()
    """Of an accepted proof: the axioms it was seen to rest on. A library without proofs hides those of its theorems."""
    engine: str = ""
    lean: str = ""
    """Version of Lean; empty where no Lean was needed."""
    place: int = 0
    """Which proof was accepted: 0 the job's own, then its others."""

    @property
    def proved(self) -> bool:
        """Whether the proof was accepted."""
        return self.verdict == "accepted"


def stated(name: str, statement: str) -> str:
    """`theorem <name> <statement>`, with every part of the name quoted, so that any text can be a name."""
    return f"theorem {'.'.join(f'«{part}»' for part in name.split('.'))} {statement}"


def renamed(job: LeanJob) -> LeanJob:
    """The same job for a theorem of a name that nobody has."""
    name = f"{job.name}_{digest_json([job.name, job.statement])[7:15]}"
    return replace(job, name=name, statement=stated(name, job.statement.removeprefix(stated(job.name, ""))))


def by(tactics: str) -> str:
    """A block of tactics as a proof."""
    return "by\n  " + "\n  ".join(tactics.split("\n"))


def reason_of(reason: str, message: str) -> str:
    """The class of a judge's reason: an error of Lean is told apart by its words."""
    if reason == "statement" and "already been declared" in message:
        return "name"
    if reason not in ("error", "kernel"):
        return reason
    return next((name for name, words in _OF_THE_ERROR if words.search(message)), reason)


def judged(answer: Mapping[str, Any], engine: str, lean: str) -> LeanVerdict:
    """The verdict that a judge's answer stands for. Raises KeyError, TypeError or ValueError where there is none."""
    message, ms = str(answer["detail"])[:LONGEST_MESSAGE], float(answer["ms"])
    reason = reason_of(str(answer["reason"]), message)
    if answer["proved"] is True and reason == "":
        return LeanVerdict(
            "accepted", "", "", ms, tuple(map(str, answer["axioms"])), engine, lean, int(answer["place"])
        )
    if reason not in REASONS:
        raise ValueError(f"a judge has no reason {reason[:80]!r}")
    outcome: Outcome = "timeout" if reason == "heartbeats" else "rejected"
    return LeanVerdict(outcome, reason, explained(reason, message), ms, (), engine, lean)


def explained(reason: str, detail: str) -> str:
    """A message for a reason whose detail may be a word only, without Lean's advice to set options: no proof may."""
    told = "\n".join(line for line in detail.splitlines() if not line.strip().startswith("use `set_option"))
    if not told:
        return REASONS[reason]
    return f"{REASONS[reason]}: {told}" if reason in FORBIDDEN else told
