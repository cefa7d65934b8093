"""From what a request names to an entry of the index: the only way from a request to a file."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from speciate.browse.answers import Relative
from speciate.records import Card, Listed, Parent
from speciate.registry import lineage, overview, query, signing, store
from speciate.registry.entry import read_card

MOST_CHILDREN = 100


class Whole(NamedTuple):
    """An entry with what is around it."""

    card: Card
    short: Listed
    parents: list[Relative]
    children: list[Relative]
    children_total: int
    signed: signing.Signed


def entry_of(database: sqlite3.Connection, reference: str) -> tuple[Path, Card, Listed]:
    """The folder, the card and the index's line of an entry.

    Unlike `store.find` it knows no folders, only what the index has. Raises NotFound, InputError where several digests
    begin so, and StorageError where the card is damaged.
    """
    digest = query.digest_of(database, reference)
    folder = store.entry_path(digest)
    return folder, read_card(folder), query.of_digests(database, [digest])[digest]


def whole_of(database: sqlite3.Connection, reference: str) -> Whole:
    """An entry, and its relatives by name."""
    folder, card, short = entry_of(database, reference)
    below, total = overview.children(database, card.digest, MOST_CHILDREN)
    known = query.of_digests(database, [*(parent.digest for parent in card.parents), *(child for child, _ in below)])
    children = [Parent.model_validate({"kind": kind, "digest": child}) for child, kind in below]
    return Whole(
        card,
        short,
        [_relative(edge, known, card) for edge in card.parents],
        [_relative(edge, known, card) for edge in children],
        total,
        signing.signed(folder),
    )


def _relative(edge: Parent, known: dict[str, Listed], of: Card) -> Relative:
    if entry := known.get(edge.digest):
        return Relative(kind=edge.kind, digest=edge.digest, name=f"{entry.species}@{entry.version}", what="entry")
    one = lineage.outsider(edge.digest, {str(of.base.get("digest")): str(of.base.get("name") or "a base")})
    return Relative(kind=edge.kind, digest=edge.digest, name=one.name, what=one.what)
