"""The runs of two entries, where they lie on this machine, compared on the same items.

A card is untrusted: its run is a name in the home's folder of runs or nothing, and the run must say that it made that
very adapter.
"""

import re
import threading
from pathlib import Path
from typing import NamedTuple

from speciate import runs
from speciate.errors import SpeciateError
from speciate.records import AdapterCard, Card, Comparison

RUN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_one_at_a_time = threading.Lock()
"""Reading rows and drawing intervals takes a second of all cores."""


class Compared(NamedTuple):
    """A comparison, or why there is none."""

    comparison: Comparison | None
    why: str = ""


def compared(one: Card, other: Card) -> Compared:
    """The comparison of the runs that two adapters come from."""
    if one.digest == other.digest:
        return Compared(None, "both are the same adapter")
    folders: list[str] = []
    for card in (one, other):
        folder = run_of(card)
        if folder is None:
            return Compared(None, f"the run of {card.species}@{card.version} is not on this machine")
        folders.append(str(folder))
    from speciate.pipeline.comparison import compare

    try:
        with _one_at_a_time:
            return Compared(compare(folders, each=True))
    except SpeciateError as error:
        return Compared(None, str(error))


def run_of(card: Card) -> Path | None:
    """The folder of the run that made this adapter, where it is on this machine."""
    if not isinstance(card, AdapterCard) or not re.fullmatch(RUN, card.run):
        return None
    folder = runs.folder() / card.run
    try:
        record = runs.read_run(folder / runs.RECORD)
    except SpeciateError:
        return None
    return folder if record.adapter_digest == card.digest else None
