"""Lean as a niche: theorems as items, the Lean kernel as the verifier."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from types import TracebackType
from typing import Self

from speciate.niches.base import Item, Verdict
from speciate.niches.lean.choice import chosen_lean
from speciate.niches.lean.families import FAMILIES
from speciate.niches.lean.hammer import Struck, strike
from speciate.niches.lean.pool import LeanPool
from speciate.niches.lean.verdict import LeanJob, by


def stream(family: str, seed: str) -> Iterator[Item]:
    """Endless theorems of one family as items, repeats included."""
    rng = Random(f"{seed}/{family}")
    while True:
        yield FAMILIES[family](rng).item()


def proof_in(answer: str) -> str:
    """The tactic block of an answer: what stands in its first code block, else all of it."""
    lines = answer.strip("\n").split("\n")
    fences = [index for index, line in enumerate(lines) if line.lstrip().startswith("```")]
    if len(fences) >= 2:
        return "\n".join(lines[fences[0] + 1 : fences[1]])
    return "\n".join(lines)


class LeanVerifier:
    """Right where Lean proves the item's own statement with the answer as its tactic block.

    The first engine is started by `with`, and its start overlaps other work.
    """

    def __init__(self, on_setup: Callable[[int, int], None] | None = None, without: tuple[str, ...] = ()) -> None:
        self.lean = LeanPool(engine=lambda: chosen_lean(progress=on_setup))
        self.without = without
        self.version = ""
        """Version of the Lean that judged last; a verdict that is remembered names the one that gave it."""

    def __enter__(self) -> Self:
        self.lean.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lean.__exit__(kind, error, trace)

    def strike(self, items: Sequence[Item]) -> Iterator[Struck]:
        """What proofs that need no model do on each item, in order."""
        return strike(
            [LeanJob(item.payload["preamble"], item.payload["statement"], "") for item in items], self.lean.check
        )

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterator[Verdict]:
        """One verdict for each pair, in order."""
        jobs = [
            LeanJob(item.payload["preamble"], item.payload["statement"], by(proof_in(answer)), without=self.without)
            for item, answer in zip(items, answers, strict=True)
        ]
        for found in self.lean.check(jobs):
            self.version = found.lean or self.version
            yield Verdict(float(found.proved), found.reason or "ok", " ".join(found.message.split())[:300], found.ms)
