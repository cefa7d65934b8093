"""The JSON API: what the pages show, for programs. Its description is at /api/openapi.json."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from speciate.browse import comparing, found, plane
from speciate.browse.answers import Entries, Entry, Points, Refusal, SideBySide
from speciate.browse.asked import MOST, Filters, Reference, Slice, Text
from speciate.browse.views import recipe_differences
from speciate.browse.words import without_home
from speciate.records import Phylogeny
from speciate.registry import index, lineage, query
from speciate.storage import canonical_json

FAULTS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The question has no answer."},
    404: {"model": Refusal, "description": "No entry is called so."},
    422: {"model": Refusal, "description": "A parameter is not what it should be."},
    503: {"model": Refusal, "description": "A card or the index is damaged."},
}
router = APIRouter(prefix="/api", responses=FAULTS)
Limit = Annotated[int, Query(ge=1, le=MOST)]
Words = Annotated[Text, Query(min_length=1, description="All of them occur; each may be a beginning.")]


@router.get("/entries", operation_id="list")
def entries(asked: Annotated[Slice, Query()]) -> Entries:
    """The entries that match, a part at a time."""
    with index.opened() as database:
        listed, total = query.listed(
            database, asked.wanted(), asked.sort, backwards=asked.reverse, limit=asked.limit, offset=asked.offset
        )
        return _entries(listed, total, query.problems(database))


@router.get("/search", operation_id="search")
def search(text: Words, limit: Limit = 100) -> Entries:
    """The entries that have all words, the best match first."""
    with index.opened() as database:
        listed, total = query.found_words(database, text, limit)
        return _entries(listed, total, query.problems(database))


@router.get("/entry/{ref}", operation_id="entry")
def entry(ref: Reference) -> Entry:
    """One entry: its card, its names and its next relatives."""
    with index.opened() as database:
        whole = found.whole_of(database, ref)
    return Entry(
        card=whole.card,
        aliases=whole.short.aliases,
        parents=whole.parents,
        children=whole.children,
        children_total=whole.children_total,
        signed=str(whole.signed),
    )


@router.get("/tree", operation_id="tree")
def tree(limit: Limit = MOST) -> Phylogeny:
    """The newest entries and who descends from whom."""
    with index.opened() as database:
        return lineage.phylogeny(database, None, limit)


@router.get("/tree/{ref}", operation_id="tree-of")
def tree_of(ref: Reference, limit: Limit = MOST) -> Phylogeny:
    """One entry, its ancestors and what descends from it, the nearest first."""
    with index.opened() as database:
        return lineage.phylogeny(database, query.digest_of(database, ref), limit)


@router.get("/points", operation_id="points", response_model=Points)
def points(asked: Annotated[Filters, Query()]) -> Response:
    """Every entry that matches as a point, in columns."""
    with index.opened() as database:
        columns = plane.points(database, asked.wanted())
    head = {name: field.default for name, field in Points.model_fields.items() if not field.is_required()}
    head["schema"] = head.pop("schema_")
    # Written by hand: to validate a million numbers that were just made takes longer than to make them.
    return Response(canonical_json(head | columns), media_type="application/json")


@router.get("/compare", operation_id="compare")
def compare(a: Annotated[Reference, Query()], b: Annotated[Reference, Query()]) -> SideBySide:
    """Two entries, and their runs compared on the same items where both lie on this machine."""
    with index.opened() as database:
        one, other = (found.whole_of(database, name) for name in (a, b))
    result = comparing.compared(one.card, other.card)
    differences = recipe_differences(one.card, other.card)
    return SideBySide(a=one.short, b=other.short, recipe=differences, comparison=result.comparison, why=result.why)


def _entries(listed: list[dict[str, Any]], total: int, problems: list[str]) -> Entries:
    told = list(map(without_home, problems))
    return Entries.model_validate({"entries": listed, "total": total, "problems": told})
