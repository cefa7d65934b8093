"""What models said before. An answer follows from the model's bytes, the way it is computed, the prompt's tokens and
the sampling, so it is asked for once: a run that was stopped goes on, and the base answers a suite once for all.

Knows nothing of what is right: verdicts are given anew, by the verifier as it is now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from speciate.models.decoding import Ask, Sampling, Spoken
from speciate.models.scoring import Choice
from speciate.remembered import Remembered, key


class Memory:
    """Answers of the members of one population."""

    def __init__(self, identities: Mapping[str, str], kept: Remembered) -> None:
        """`identities` gives for each member what its answers follow from: bytes, precision, device."""
        self.identities = identities
        self.kept = kept
        self.recalled = 0
        """Answers that did not have to be computed."""
        self.tokens = 0
        """Of the prompts and answers that were computed, where their number was told."""

    def name(self, member: str, kind: str, *parts: Any) -> bytes:
        """The name of one answer."""
        return key("answer/2", self.identities[member], kind, *parts)

    def asked(self, ask: Ask, sampling: Sampling, stops: Sequence[int]) -> bytes:
        """The name of the answer to a prompt; greedy answers have no seed."""
        seed = ask.seed if sampling.temperature else 0
        return self.name(ask.member, "generate", list(ask.ids), asdict(sampling), list(stops), seed)

    def find(self, name: bytes) -> dict[str, Any] | None:
        """What is kept under a name."""
        found = self.kept.find(name)
        self.recalled += found is not None
        return found

    def keep(self, answers: Sequence[tuple[bytes, Mapping[str, Any]]], tokens: int = 0) -> None:
        """Keep answers, all or none of them; `tokens` went through the models for them."""
        self.tokens += tokens
        self.kept.keep_all(answers)


def read_of(choice: Choice) -> int:
    """Tokens of a choice, its context counted once."""
    return len(choice.context) + sum(map(len, choice.continuations))


def spoken_of(found: Mapping[str, Any]) -> Spoken:
    """An answer as it was kept."""
    return Spoken(list(found["tokens"]), str(found["end"]))
