"""A theorem of the niche, its prompt, and its canonical form.

Two theorems that differ only in the names of their variables, hypotheses and functions have one digest, so that train,
dev and test can be kept apart by what a theorem says and not by how it is spelled.
"""

import re
from dataclasses import dataclass

from speciate.niches.base import Item
from speciate.storage import digest_json

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_']*")
VARIABLES = re.compile(r"^theorem t \(([^():]+) : ([^()]+)\)")


@dataclass(frozen=True, slots=True)
class Theorem:
    """A statement that we own, and a tactic block that proves it."""

    family: str
    statement: str
    """`theorem t (x : Nat) : ...`, without the proof."""
    proof: str
    """Tactic block: one tactic a line."""
    names: tuple[str, ...]
    """Names that the generator chose; renaming them changes nothing."""
    preamble: str = ""
    """Definitions that the statement needs."""

    @property
    def prompt(self) -> str:
        """What the model is asked."""
        return f"{self.preamble}\n{self.statement} := by" if self.preamble else f"{self.statement} := by"

    @property
    def digest(self) -> str:
        """Name of the canonical statement; the order in which the variables are declared does not count."""
        binder = VARIABLES.match(self.statement)
        if binder is None:
            return digest_json(canonical(f"{self.preamble}\n{self.statement}", self.names))
        rest = self.statement[binder.end() :]
        kind = f"({len(binder[1].split())} : {binder[2]})"
        return digest_json(canonical(f"{self.preamble}\n{rest} {kind}", self.names))

    def item(self) -> Item:
        """The theorem as an item of the niche."""
        payload = {"preamble": self.preamble, "statement": self.statement}
        return Item(self.family, self.prompt, self.proof, self.digest, payload)


def canonical(text: str, names: tuple[str, ...]) -> str:
    """`text` with each of `names` replaced by `x0`, `x1`, ... in the order of first use, spaces squeezed."""
    order: dict[str, str] = {}

    def rename(match: re.Match[str]) -> str:
        word = match.group()
        return order.setdefault(word, f"x{len(order)}") if word in names else word

    return " ".join(IDENTIFIER.sub(rename, text).split())
