"""The list of entries as the values that its page fills in: rows, links to other orders and to other pages."""

from collections.abc import Mapping, Sequence
from typing import Any

from speciate.browse.asked import PAGE, Paged
from speciate.browse.views import SIGNS
from speciate.browse.words import address, forgot, gained
from speciate.records import Listed
from speciate.registry import query

HEADS: Sequence[tuple[str, query.Order | None]] = (
    ("species", "species"),
    ("verdict", None),
    ("gain, points", "gain"),
    ("lost, points", "forgetting"),
    ("made", "created"),
)


def list_view(asked: Paged, entries: Sequence[Mapping[str, Any]], total: int) -> dict[str, Any]:
    """One page of the list."""
    first = PAGE * (asked.page - 1)
    last = first + len(entries)
    return {
        "asked": asked,
        "narrowed": bool(asked.query(sort="created", reverse=False, page=1)),
        "rows": [_row(Listed.model_validate(one)) for one in entries],
        "heads": [_head(asked, *head) for head in HEADS],
        "total": total,
        "first": first + 1,
        "last": last,
        "previous": _to(asked, asked.page - 1) if asked.page > 1 else "",
        "next": _to(asked, asked.page + 1) if last < total else "",
    }


def _row(entry: Listed) -> dict[str, Any]:
    return {
        "species": entry.species,
        "version": entry.version,
        "aliases": entry.aliases,
        "address": address(entry.digest),
        "reference": address(entry.digest).rpartition("/")[2],
        "niche": entry.niche,
        "base": str(entry.base.get("name") or "unknown"),
        "verdict": entry.verdict,
        "sign": SIGNS[entry.verdict],
        "gain": gained(entry),
        "lost": forgot(entry),
        "day": entry.created[:10],
    }


def _head(asked: Paged, name: str, order: query.Order | None) -> dict[str, str]:
    """A column's head: the link to its order, or to the other way round where it is the order already."""
    if order is None:
        return {"name": name, "link": "", "order": ""}
    here = order == asked.sort
    downwards = (order in query.FIRST_IS_LARGEST) != asked.reverse
    link = f"/?{asked.query(sort=order, reverse=here and not asked.reverse, page=1)}#list"
    return {"name": name, "link": link, "order": ("descending" if downwards else "ascending") if here else ""}


def _to(asked: Paged, page: int) -> str:
    return f"/?{asked.query(page=page)}#list"
