"""Checked proofs as a person reads them: a line for each, and what they come to."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from speciate.evals.intervals import wilson
from speciate.niches.lean.hammer import Struck
from speciate.niches.lean.verdict import REASONS, LeanVerdict
from speciate.reports.plain import plain

_LONGEST = 160


class Tally:
    """Counts verdicts as they come."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.engine = ""
        self._first = 0.0

    def add(self, verdict: LeanVerdict) -> None:
        """One more."""
        self._first = self._first or time.monotonic()
        self.verdicts[verdict.verdict] += 1
        self.reasons[verdict.reason] += 1
        self.engine = f"{verdict.engine} Lean {verdict.lean}" if verdict.lean else self.engine

    def rate(self) -> str:
        """Proofs a second since the first verdict."""
        done, seconds = self.verdicts.total() - 1, time.monotonic() - self._first
        return f"{done / seconds:,.0f} proofs/s" if done > 0 and seconds > 0.5 else ""

    def summary(self) -> str:
        """All that was found, in a few lines."""
        total = self.verdicts.total()
        lines = [f"{self.verdicts['accepted']:,} of {total:,} accepted{f', {self.engine}' if self.engine else ''}"]
        for reason, count in self.reasons.most_common():
            if reason:
                lines.append(f"  {count:>6,} {reason}: {REASONS[reason]}")
        return "\n".join(lines)


def row(name: str, verdict: LeanVerdict) -> str:
    """One verdict: what it is, of which proof, why."""
    why = f"{verdict.reason}: {plain(verdict.message)}" if verdict.reason else f"{verdict.ms:,.0f} ms"
    return f"{verdict.verdict:<8}  {plain(name)}  {why if len(why) <= _LONGEST else why[: _LONGEST - 1] + '…'}"


def hammered(ids: Sequence[str | int], struck: Sequence[Struck]) -> tuple[dict[str, Any], str]:
    """What the hammer did, as JSON values and for a person."""
    solved = sum(bool(one.tactic) for one in struck)
    low, high = wilson(solved, len(struck))
    rows = [{"id": name, **asdict(one), "ms": round(one.ms, 1)} for name, one in zip(ids, struck, strict=True)]
    content = {"solved": solved, "n": len(struck), "ci95": [low, high], "theorems": rows}
    lines = [
        f"{'solved' if one.tactic else 'not'}  {plain(name)}  {_how(one)}"
        for name, one in zip(ids, struck, strict=True)
    ]
    interval = f"{100 * solved / len(struck):.1f}%, 95% interval {100 * low:.1f} to {100 * high:.1f}%"
    return content, "\n".join([*lines, f"{solved:,} of {len(struck):,} need no model ({interval})"])


def _how(struck: Struck) -> str:
    return plain(f"by {struck.tactic}" if struck.tactic else struck.problem)
