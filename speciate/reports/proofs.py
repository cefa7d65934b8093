"""Checked proofs as a person reads them: a line for each, and what they come to."""

import time
from collections import Counter

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
