"""Asking the index: filter, sort and search entries; find the one that is meant.

Knows nothing of files except where an entry lies; whoever needs the whole card reads it (`entry.read_card`).
"""

import contextlib
import difflib
import json
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from speciate.errors import InputError, NotFound, StorageError
from speciate.records import Listed
from speciate.registry import aliases, places
from speciate.registry.aliases import is_version

Order = Literal["species", "created", "gain", "forgetting"]
ORDERS: dict[Order, str] = {
    "species": "species, version",
    "created": "created",
    "gain": "gain",
    "forgetting": "forgetting_upper",
}
FIRST_IS_LARGEST: frozenset[Order] = frozenset({"created", "gain"})
SHORT = """json_set(summary, '$.aliases', (
    SELECT json_group_array(alias) FROM aliases WHERE aliases.digest = entries.digest ORDER BY alias))"""
"""An entry in short, with the words that point to it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries; an empty field asks for nothing. Points are shares of 1."""

    species: str = ""
    niche: str = ""
    base: str = ""
    """The base's name, the end of its name after a slash, or the beginning of its digest."""
    verdict: str = ""
    min_gain: float | None = None
    """On the observed gain."""
    max_forgetting: float | None = None
    """On the upper one-sided 95% bound."""
    since: str = ""
    until: str = ""
    """Both are ISO 8601 dates, the end is within."""
    text: str = ""
    """Words that all occur in species, niche, base, description, families or run; a word may be a beginning."""


def listed(
    database: sqlite3.Connection,
    wanted: Wanted,
    order: Order = "species",
    *,
    backwards: bool = False,
    limit: int = 0,
    offset: int = 0,
) -> tuple[list[dict[str, Any]], int]:
    """The entries as JSON values of `Listed`, and how many there are in all; a limit of 0 gives all.

    Entries without a figure come last where it is sorted by.
    """
    where, values = conditions(wanted)
    total = int(database.execute(f"SELECT count(*) FROM entries WHERE {where}", values).fetchone()[0])
    column = ORDERS[order]
    downwards = (order in FIRST_IS_LARGEST) != backwards
    by = ", ".join(f"{name}{' DESC' if downwards else ''} NULLS LAST" for name in column.split(", "))
    rows = database.execute(
        f"SELECT {SHORT} FROM entries WHERE {where} ORDER BY {by}, id LIMIT ? OFFSET ?",
        [*values, limit or -1, offset],
    )
    return [json.loads(row[0]) for row in rows], total


def problems(database: sqlite3.Connection) -> list[str]:
    """One line for each entry whose card cannot be read."""
    return [row[0] for row in database.execute("SELECT problem FROM entries WHERE problem IS NOT NULL ORDER BY name")]


def registered(database: sqlite3.Connection) -> int:
    """How many entries there are that can be read."""
    return int(database.execute("SELECT count(*) FROM entries WHERE problem IS NULL").fetchone()[0])


def nearest(database: sqlite3.Connection, wanted: Wanted) -> dict[str, str]:
    """For what was asked for and no entry has, what was probably meant: by `species`, `niche`, `base` or the word."""
    rows = database.execute("SELECT DISTINCT species, niche, base FROM entries WHERE problem IS NULL").fetchall()
    species, niches, bases = ({str(row[column]) for row in rows} for column in range(3))
    bases |= {base.rpartition("/")[2] for base in bases}
    asked = {"species": (wanted.species, species), "niche": (wanted.niche, niches), "base": (wanted.base, bases)}
    asked |= {word: (word, species | niches | bases) for word in wanted.text.split()}
    close = {
        what: difflib.get_close_matches(given, names, n=1)
        for what, (given, names) in asked.items()
        if given and given not in names
    }
    return {what: near[0] for what, near in close.items() if near}


def found_words(database: sqlite3.Connection, text: str, limit: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The entries in which all words of `text` occur, the best match first, and how many there are."""
    asked = matching(text)
    total = int(database.execute("SELECT count(*) FROM words WHERE words MATCH ?", [asked]).fetchone()[0])
    rows = database.execute(
        f"SELECT {SHORT} FROM words JOIN entries ON entries.id = words.rowid WHERE words MATCH ? ORDER BY rank LIMIT ?",
        [asked, limit or -1],
    )
    return [json.loads(row[0]) for row in rows], total


def matching(text: str) -> str:
    """Words as a question to FTS5, each quoted, so that nothing in them is its syntax. Raises InputError for none."""
    words = re.findall(r"\w+", text)
    if not words:
        raise InputError(f"{text!r} has no word to search for")
    return " ".join(f'"{word}"*' for word in words)


def of_digests(database: sqlite3.Connection, digests: Iterable[str]) -> dict[str, Listed]:
    """The entries with these digests, by digest."""
    found: dict[str, Listed] = {}
    asked = sorted(set(digests))
    for start in range(0, len(asked), 500):
        some = asked[start : start + 500]
        marks = ", ".join("?" * len(some))
        rows = database.execute(
            f"SELECT digest, {SHORT} FROM entries WHERE problem IS NULL AND digest IN ({marks})", some
        )
        found |= {digest: Listed.model_validate_json(short) for digest, short in rows}
    return found


def digest_of(database: sqlite3.Connection, reference: str) -> str:
    """The digest of the entry that is meant by `species`, `species@2`, `species@best`, or a digest's first 4 digits or
    more. A species alone means its latest version.

    Raises NotFound, and InputError where several digests begin so.
    """
    species, _, alias = reference.partition("@")
    if alias and not is_version(alias.removeprefix("v")):
        row = database.execute(
            "SELECT digest FROM aliases WHERE species = ? AND alias = ?", [species, alias]
        ).fetchone()
    else:
        number = alias.removeprefix("v")
        rows = database.execute(
            "SELECT digest, version FROM entries WHERE species = ? AND problem IS NULL AND (? = '' OR version = ?) "
            "ORDER BY version DESC, id LIMIT 10",
            [species, number, int(number or 0)],
        ).fetchall()
        # Of those that came from elsewhere with a version that was taken here, none is meant by it.
        row = rows[0] if rows else None
        if len(rows) > 1 and rows[0][1] == rows[1][1]:
            with contextlib.suppress(StorageError):
                row = (aliases.read(aliases.path_of(species, str(rows[0][1]))),)
    if row:
        return str(row[0])
    digits = reference.removeprefix("sha256:").lower()
    if re.fullmatch(r"[0-9a-f]{4,64}", digits):
        rows = database.execute(
            "SELECT digest, name, species, version FROM entries WHERE problem IS NULL AND digest >= ? AND digest < ? "
            "LIMIT 10",
            [f"sha256:{digits}", f"sha256:{digits}g"],
        ).fetchall()
        if len(rows) > 1:
            shown = "; ".join(f"{name} is {species}@{version}" for _, name, species, version in rows)
            raise InputError(f"{reference!r} is the beginning of {len(rows)} digests: {shown}. Give more digits.")
        if rows:
            return str(rows[0][0])
    raise NotFound(_not_found(database, reference))


def _not_found(database: sqlite3.Connection, reference: str) -> str:
    species, at, alias = reference.partition("@")
    versions = database.execute(
        "SELECT version FROM entries WHERE species = ? ORDER BY version DESC LIMIT 5", [species]
    ).fetchall()
    if at and versions:
        words = [row[0] for row in database.execute("SELECT alias FROM aliases WHERE species = ?", [species])]
        known = ", ".join(f"{species}@{name}" for name in [*sorted(row[0] for row in versions), *words])
        kind = "version" if is_version(alias.removeprefix("v")) else "alias"
        return f"{species!r} has no {kind} {alias!r}; there is {known}"
    names = [row[0] for row in database.execute("SELECT DISTINCT species FROM entries WHERE species NOT NULL")]
    damaged = len(problems(database))
    note = f" ({damaged} damaged entries were left out)" if damaged else ""
    if close := difflib.get_close_matches(species, names, n=1, cutoff=0.5):
        advice = f"did you mean {close[0]!r}?"
    elif "/" in reference or "\\" in reference:
        advice = "a folder of an adapter holds card.json"
    elif names:
        more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
        advice = f"there are: {', '.join(sorted(names)[:10])}{more}"
    else:
        advice = f"the registry {str(places.entries_folder())!r} is empty; `speciate train RECIPE` fills it"
    return f"no entry {reference!r} in the registry; {advice}{note}"


def conditions(wanted: Wanted) -> tuple[str, list[Any]]:
    """The entries that are wanted, as a condition of SQL with its values."""
    asked: list[tuple[str, list[Any]]] = [("problem IS NULL", [])]
    for column, value in (("species", wanted.species), ("niche", wanted.niche), ("verdict", wanted.verdict)):
        if value:
            asked.append((f"{column} = ?", [value]))
    if wanted.base:
        digits = wanted.base.removeprefix("sha256:")
        # An index does not help with the end of a name, so the distinct names are looked through first.
        asked.append(
            (
                "(base IN (SELECT base FROM entries GROUP BY base HAVING base = ? OR base LIKE ? ESCAPE '\\') "
                "OR (base_digest >= ? AND base_digest < ?))",
                [wanted.base, "%/" + _escaped(wanted.base), f"sha256:{digits}", f"sha256:{digits}g"],
            )
        )
    if wanted.min_gain is not None:
        asked.append(("gain >= ?", [wanted.min_gain]))
    if wanted.max_forgetting is not None:
        asked.append(("forgetting_upper <= ?", [wanted.max_forgetting]))
    if wanted.since:
        asked.append(("created >= ?", [wanted.since]))
    if wanted.until:
        # Of a day, all hours: a letter sorts after every digit.
        asked.append(("created <= ?", [wanted.until + "~"]))
    if wanted.text:
        asked.append(("id IN (SELECT rowid FROM words WHERE words MATCH ?)", [matching(wanted.text)]))
    return " AND ".join(condition for condition, _ in asked), [value for _, values in asked for value in values]


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)
