"""What a page about the whole registry needs: each measured entry as a point, the values to filter by, children."""

import sqlite3
from typing import Literal, NamedTuple

from speciate.registry import query

MOST_VALUES = 200


class Measured(NamedTuple):
    """An entry with its gain and forgetting, as shares of 1."""

    species: str
    version: int
    name: str
    """Of its folder, the beginning of its digest."""
    verdict: str
    gain: float
    gain_low: float
    forgetting: float
    forgetting_upper: float


def measured(database: sqlite3.Connection, wanted: query.Wanted) -> tuple[list[Measured], int]:
    """The entries that have figures, in the order in which they were entered, and how many others there are.

    A change of a share beyond 1 is none, whatever a card says; ends of intervals are cut there.
    """
    where, values = query.conditions(wanted)
    total = int(database.execute(f"SELECT count(*) FROM entries WHERE {where}", values).fetchone()[0])
    rows = database.execute(
        "SELECT species, version, name, verdict, gain, min(1.0, max(-1.0, gain_low)), forgetting, "
        "min(1.0, max(-1.0, forgetting_upper)) FROM entries "
        f"WHERE {where} AND gain BETWEEN -1 AND 1 AND forgetting BETWEEN -1 AND 1 ORDER BY id",
        values,
    )
    found = [Measured(*row) for row in rows]
    return found, total - len(found)


def values_of(database: sqlite3.Connection, column: Literal["species", "niche", "base"]) -> list[str]:
    """The first values that a filter by this column can have."""
    # From one value to the next by the column's index: asking for all distinct ones reads every entry.
    found: list[str] = []
    value = ""
    while len(found) < MOST_VALUES:
        row = database.execute(
            f"SELECT {column} FROM entries WHERE {column} > ? ORDER BY {column} LIMIT 1", [value]
        ).fetchone()
        if row is None:
            break
        value = str(row[0])
        found.append(value)
    return found


def children(database: sqlite3.Connection, digest: str, most: int) -> tuple[list[tuple[str, str]], int]:
    """Digest and kind of what was made from an entry, and how many there are in all."""
    whole = "FROM edges JOIN entries ON entries.digest = child AND problem IS NULL WHERE parent = ?"
    total = int(database.execute(f"SELECT count(*) {whole}", [digest]).fetchone()[0])
    rows = database.execute(f"SELECT child, kind {whole} ORDER BY created, child LIMIT ?", [digest, most])
    return [(str(child), str(kind)) for child, kind in rows], total
