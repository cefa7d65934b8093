"""What a niche is: items with a question, and a verifier that says right or wrong without a model.

Knows nothing of models, training or files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass(frozen=True, slots=True)
class Item:
    """One task. `digest` names its canonical form: two items with one digest are the same task."""

    family: str
    """Kind of task; items of one family share a template, and are one cluster in the statistics."""
    prompt: str
    """What the model is asked, as the user's message."""
    reference: str
    """An answer that the verifier accepts."""
    digest: str
    payload: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the verifier needs beside the answer; JSON values only."""
    choices: tuple[str, ...] = ()
    """Answers to choose from by their likelihood, `reference` among them; empty where the model writes its own."""
    cluster: str = ""
    """What it shares with other items beside the family, such as a passage; empty where it stands alone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier says of one answer."""

    score: float
    """In [0, 1]; 1.0 is right."""
    reason: str
    """`ok`, or a short code of why not: `wrong`, `error`, `timeout`, `crash`, ..."""
    detail: str = ""
    """One line for a person: the first error message, the expected answer."""
    ms: float = 0.0
    """Time that the verifier took, in milliseconds."""


class Verifier(Protocol):
    """Judges answers; may hold a process, so it is used as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def verify(self, items: Sequence[Item], answers: Sequence[str]) -> Iterable[Verdict]:
        """One verdict for each pair, in order, as they come."""
        ...
