"""Who descends from whom: bases at the root, and what was made from them, with the change of recipe on every edge."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from speciate.differing import differing_keys
from speciate.records import Branch, Kin, Listed, Phylogeny
from speciate.registry import query

MOST = 1000
"""Entries that are drawn unless more are asked for."""


def phylogeny(database: sqlite3.Connection, root: str | None = None, limit: int = MOST) -> Phylogeny:
    """All entries, or one (by its digest) with its ancestors and what descends from it; a limit of 0 gives all."""
    digests, total = _everyone(database, limit) if root is None else _relatives(database, root, limit)
    entries = query.of_digests(database, digests)
    edges = _edges(entries)
    recipes = _recipes(database, entries)
    branches = [
        Branch(parent=parent, child=child, kind=kind, recipe=_changes(recipes.get(parent), recipes.get(child)))
        for child, parent, kind in edges
    ]
    # Parents that were not chosen: other parents of what was merged, and those beyond the limit.
    beside = query.of_digests(database, (parent for _, parent, _ in edges if parent not in entries))
    outside = [parent for _, parent, _ in edges if parent not in entries and parent not in beside]
    bases = _bases(entries.values())
    kin = [
        *(outsider(digest, bases) for digest in dict.fromkeys(outside)),
        *(
            Kin(digest=digest, what="entry", name=f"{entry.species}@{entry.version}", entry=entry)
            for digest, entry in sorted((entries | beside).items(), key=lambda pair: (pair[1].created, pair[1].version))
        ),
    ]
    # Of a root's relatives, what is beside them is mostly none.
    left_out = max(0, total - len(digests) - (0 if root else len(beside)))
    return Phylogeny(kin=_parents_first(kin, branches), branches=branches, left_out=left_out)


def _everyone(database: sqlite3.Connection, limit: int) -> tuple[list[str], int]:
    """The newest entries, since those are asked about."""
    total = int(database.execute("SELECT count(*) FROM entries WHERE problem IS NULL").fetchone()[0])
    rows = database.execute(
        "SELECT digest FROM entries WHERE problem IS NULL ORDER BY created DESC, id DESC LIMIT ?", [limit or -1]
    )
    return [row[0] for row in rows], total


def _relatives(database: sqlite3.Connection, root: str, limit: int) -> tuple[list[str], int]:
    """Ancestors and descendants, the nearest first. UNION leaves out who was met before, so no circle is endless."""
    known = "EXISTS (SELECT 1 FROM entries WHERE entries.digest = met.digest AND problem IS NULL)"
    up = "SELECT parent FROM edges JOIN met ON child = digest"
    down = "SELECT child FROM edges JOIN met ON parent = digest"
    steps = [f"WITH RECURSIVE met (digest) AS (SELECT ? UNION {step}) SELECT digest FROM met WHERE {known}"
             for step in (up, down)]  # fmt: skip
    found = dict.fromkeys(row[0] for sql in steps for row in database.execute(sql, [root]))
    chosen = list(found)
    return (chosen[:limit] if limit else chosen), len(chosen)


def _edges(entries: Mapping[str, Listed]) -> list[tuple[str, str, Any]]:
    """Child, parent and kind, each once; nobody descends from itself, whatever a card says."""
    edges = (
        (digest, parent.digest, parent.kind)
        for digest, entry in entries.items()
        for parent in entry.parents
        if parent.digest != digest
    )
    return list(dict.fromkeys(edges))


def _recipes(database: sqlite3.Connection, entries: Mapping[str, Listed]) -> dict[str, dict[str, Any]]:
    asked = list(entries)
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(asked), 500):
        some = asked[start : start + 500]
        marks = ", ".join("?" * len(some))
        sql = f"SELECT digest, recipe FROM entries WHERE recipe IS NOT NULL AND digest IN ({marks})"
        found |= {digest: json.loads(recipe) for digest, recipe in database.execute(sql, some)}
    return found


def _changes(parent: dict[str, Any] | None, child: dict[str, Any] | None) -> list[str]:
    return differing_keys(parent, child) if parent is not None and child is not None else []


def _bases(entries: Iterable[Listed]) -> dict[str, str]:
    """The names of bases by their digests."""
    return {str(entry.base.get("digest")): str(entry.base.get("name") or "a base") for entry in entries}


def outsider(digest: str, bases: Mapping[str, str]) -> Kin:
    """A parent that is no entry: a base that is known by its name, or an adapter that is not here."""
    if digest in bases:
        return Kin(digest=digest, what="base", name=bases[digest])
    return Kin(digest=digest, what="absent", name=digest.removeprefix("sha256:")[:16])


def _parents_first(kin: list[Kin], branches: Iterable[Branch]) -> list[Kin]:
    """In the order given, except that nobody comes before a parent. Those in a circle, which no honest card makes, keep
    their order.
    """
    by_digest = {one.digest: one for one in kin}
    parents: dict[str, list[str]] = {}
    for branch in branches:
        parents.setdefault(branch.child, []).append(branch.parent)
    placed: dict[str, Kin] = {}
    for one in kin:
        waiting = [one.digest]
        seen: set[str] = set()
        while waiting:
            digest = waiting[-1]
            missing = [p for p in parents.get(digest, []) if p in by_digest and p not in placed and p not in seen]
            if missing and digest not in seen:
                seen.add(digest)
                waiting += missing
            else:
                placed.setdefault(waiting.pop(), by_digest[digest])
    return list(placed.values())
