"""What a small generalist base reads: skills as chats, stories, documents in invented formats, a little Lean.

A corpus is a function from an index to a document, so that training can stop and go on at any document and two
machines see the same ones. Lean comes in two forms: single lines out of their context (the words of the language),
and a few whole theorems as chats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from speciate.data import lookback
from speciate.data.stories import story
from speciate.niches import skills

Chat = tuple[str, str]
"""A question and its answer."""

WHOLE_FAMILY = "witnesses"
"""The family of which the base sees theorems with their proofs; of the others it sees single lines only, or their
regular proofs would be known before a species learns them."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents by index. `shares` are fractions of documents, not of tokens."""

    seed: int
    shares: Mapping[str, float]
    """Weight of each skill by name, of `stories`, `lookback`, `lean_fragments` and `lean_theorems`."""
    lean: Sequence[Mapping[str, Any]]
    """Rows of the primer: fragments are drawn from all of them."""
    theorems: Sequence[Mapping[str, Any]]
    """The rows that are seen whole; see `whole`."""

    def document(self, index: int) -> str | Chat:
        """The document at `index`: text, or a question with its answer."""
        rng = Random(f"{self.seed}/{index}")
        kind = rng.choices(list(self.shares), list(self.shares.values()))[0]
        if kind == "stories":
            return story(rng)
        if kind == "lookback":
            return lookback.document(rng)
        if kind == "lean_fragments":
            return fragments(rng, self.lean)
        if kind == "lean_theorems":
            row = rng.choice(self.theorems)
            return row["prompt"], row["proof"]
        while skills.held_out(item := skills.item(kind, rng)):
            pass
        return item.prompt, item.reference


def fragments(rng: Random, lean: Sequence[Mapping[str, Any]]) -> str:
    """A few lines of Lean from different theorems."""
    rows = rng.sample(lean, 4)
    return "\n".join(rng.choice((row["prompt"] + "\n" + row["proof"]).split("\n")) for row in rows)


def whole(lean: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The theorems that the base sees with their proofs."""
    return [row for row in lean if row["family"] == WHOLE_FAMILY]


def shares(
    others: Mapping[str, float], weights: Mapping[str, float] | None, length: Callable[[str], float]
) -> dict[str, float]:
    """Document weights that give the wished fractions of tokens, from the mean `length` in tokens of each kind.

    `others` are the fractions of all that is no skill; `weights` divides the rest among the skills.
    """
    chosen = dict(weights) if weights else dict.fromkeys(skills.SKILLS, 1.0)
    total = sum(chosen.values())
    rest = 1 - sum(others.values())
    tokens = {name: rest * weight / total for name, weight in chosen.items()} | dict(others)
    return {kind: share / length(kind) for kind, share in tokens.items() if share > 0}
