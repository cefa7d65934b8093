"""The application: pages for people, and the same as JSON under /api/ for programs. Every request opens the index for
itself, so an entry that was registered a moment ago is there.
"""

import re
from html import unescape
from typing import Annotated, Any

from fastapi import FastAPI, Query, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from speciate import __version__
from speciate.browse import api, comparing, found, pages, problems
from speciate.browse.asked import MOST, PAGE, Filters, Paged, Reference
from speciate.browse.drawing import changes_in_words, drawn
from speciate.browse.guard import Access, Guard
from speciate.browse.listing import list_view
from speciate.browse.views import entry_view, pair_view
from speciate.browse.words import address, without_home
from speciate.errors import SpeciateError
from speciate.records import Phylogeny
from speciate.registry import index, lineage, overview, query

NEAR = 60
"""Relatives that the page of an entry draws."""


def guarded(access: Access) -> Guard:
    """The whole application."""
    app = FastAPI(
        title="speciate registry",
        version=__version__,
        description="The species on this machine, read only.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.include_router(api.router)
    for path, answer in PAGES.items():
        app.get(path, include_in_schema=False, response_class=HTMLResponse)(answer)
    app.get("/static/{name}", include_in_schema=False)(static)
    app.add_exception_handler(SpeciateError, problems.refused)
    app.add_exception_handler(RequestValidationError, problems.not_understood)
    app.add_exception_handler(HTTPException, problems.not_there)
    app.add_exception_handler(Exception, problems.defect)
    return Guard(app, access)


def listed(asked: Annotated[Paged, Query()]) -> str:
    """Filters, a page of the list, and the plane, which is filled in afterwards."""
    with index.opened() as database:
        entries, total = query.listed(
            database, asked.wanted(), asked.sort, backwards=asked.reverse, limit=PAGE, offset=PAGE * (asked.page - 1)
        )
        broken = list(map(without_home, query.problems(database)))
        columns = {name: overview.values_of(database, name) for name in ("species", "niche", "base")}
    filters = Filters.model_validate({name: getattr(asked, name) for name in Filters.model_fields})
    points = "/api/points" + (f"?{asked_for}" if (asked_for := filters.query()) else "")
    return pages.page("list.html", **list_view(asked, entries, total), problems=broken, columns=columns, points=points)


def entry(ref: Reference) -> str:
    """One entry with its relatives."""
    with index.opened() as database:
        whole = found.whole_of(database, ref)
        relatives = lineage.phylogeny(database, whole.card.digest, NEAR)
    return pages.page("entry.html", **entry_view(whole), tree=_tree(relatives, whole.card.digest))


def tree() -> str:
    """The newest entries, as a phylogeny."""
    with index.opened() as database:
        return pages.page("tree.html", name="", address="", tree=_tree(lineage.phylogeny(database, None, MOST)))


def tree_of(ref: Reference) -> str:
    """The relatives of one entry."""
    with index.opened() as database:
        digest = query.digest_of(database, ref)
        one = query.of_digests(database, [digest])[digest]
        relatives = lineage.phylogeny(database, digest, MOST)
    name = f"{one.species}@{one.version}"
    return pages.page("tree.html", name=name, address=address(digest), tree=_tree(relatives, digest))


def compare(
    response: Response,
    a: Annotated[str, Query(max_length=160)] = "",
    b: Annotated[str, Query(max_length=160)] = "",
    ref: Annotated[list[str] | None, Query(max_length=20)] = None,
) -> str:
    """Two entries side by side; the list's boxes send them as `ref`."""
    named = [name.strip()[:160] for name in (a, b, *(ref or [])) if name.strip()]
    if len(named) != 2:
        return pages.page("compare.html", named=named, views=[], why="", rows=[], families=[], recipe=[])
    with index.opened() as database:
        one, other = (found.whole_of(database, name) for name in named)
    result = comparing.compared(one.card, other.card)
    if result.comparison is None:
        return pages.page("compare.html", named=named, why=result.why, **pair_view(one, other))
    from speciate.reports.page import render_page

    report = render_page(result.comparison)
    response.headers["Content-Security-Policy"] = _policy_of(report)
    return report


def static(name: str) -> Response:
    """A file of the page; its address changes with its content, so it is asked for once."""
    if name not in pages.STATIC:
        raise HTTPException(404)
    kept = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(pages.static(name), media_type=pages.STATIC[name], headers=kept)


PAGES: dict[str, Any] = {
    "/": listed,
    "/entry/{ref}": entry,
    "/tree": tree,
    "/tree/{ref}": tree_of,
    "/compare": compare,
}


def _tree(phylogeny: Phylogeny, here: str = "") -> dict[str, Any]:
    """The drawing, and its edges in words."""
    from markupsafe import Markup

    drawing = drawn(phylogeny, here)
    names = {one.digest: one.name for one in phylogeny.kin}
    entries = {one.digest for one in phylogeny.kin if one.entry}
    edges = [
        {
            "child": names[branch.child],
            "address": address(branch.child) if branch.child in entries else "",
            "kind": branch.kind.replace("-", " "),
            "parent": names.get(branch.parent, branch.parent),
            "recipe": changes_in_words(branch.recipe),
        }
        for branch in phylogeny.branches[:MOST]
    ]
    return {"svg": Markup(drawing.svg), "count": len(entries), "left_out": drawing.left_out, "edges": edges}


def _policy_of(report: str) -> str:
    """The report's own policy, which knows the hashes of its style and script; it comes before anything of a record."""
    said = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', report)
    if said is None:
        raise ValueError("the report has no policy of its own")
    return f"{unescape(said[1])}; frame-ancestors 'none'"
