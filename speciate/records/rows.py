"""One answer, one row: what every figure is made of. Rows lie in Parquet files, one for each model."""

from typing import Annotated, Literal

from pydantic import BeforeValidator

from speciate.records.base import Record

Role = Literal["niche", "transfer", "general"]
"""What an item is for: the gain, families never trained on, or what must not be forgotten."""
ROLES: tuple[Role, ...] = ("niche", "transfer", "general")


def _writable(text: str) -> str:
    return text.encode(errors="replace").decode()


Writable = Annotated[str, BeforeValidator(_writable)]
"""With a question mark for each half of a character of UTF-16, which a program's last words may hold."""


class EvalRow(Record):
    """One answer to one item."""

    item: str
    """Digest of the item."""
    family: str
    cluster: str = ""
    """What its item shares with others, such as a passage; empty where it stands alone."""
    role: Role
    sample: int = 0
    """Number of the answer, where an item is answered several times."""
    prompt_digest: str
    """Digest of the tokens that the model was given."""
    prompt: Writable
    output: Writable
    score: float
    """In [0, 1]; 1.0 is right."""
    reason: str
    """ok, wrong, partial, or why there is no proper answer: empty, unfinished, nan, crash, timeout."""
    detail: Writable
    tokens: int
    """Tokens generated, the stop token included."""
    ms: float
    """Verifier time in milliseconds."""


class TextLoss(Record):
    """The loss of one model on one text."""

    text: str
    """Digest of the text."""
    nats: float
    """Sum over its tokens."""
    tokens: int
    """Tokens predicted: all but the first."""
    bytes: int
    """Bytes of its UTF-8, as far as it was read."""


class ItemDrift(Record):
    """KL divergence between adapter and base over the base's own answer to one item: nats, summed over its tokens."""

    item: str
    role: Role
    forward: float
    reverse: float
    tokens: int
