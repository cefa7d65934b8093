"""What is answered where a request cannot be: words and a status, as a page or as JSON; never a traceback."""

from collections.abc import Sequence

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from speciate.browse.answers import Fault, Refusal
from speciate.browse.pages import page
from speciate.browse.words import without_home
from speciate.errors import InputError, NotFound, SpeciateError, StorageError

TITLES = {
    400: "This cannot be asked",
    401: "This page is not open to everybody",
    404: "There is no such thing",
    405: "This page is for reading only",
    422: "This cannot be asked",
    503: "The registry cannot be read",
}
API = "/api/"


def problem(path: str, status: int, kind: str, problems: Sequence[str], *, again: bool = False) -> Response:
    """The answer for whoever asked at `path`; `again` offers to open the same page once more."""
    problems = list(map(without_home, problems))
    message = "; ".join(problems)
    if path.startswith(API):
        refusal = Refusal(error=Fault(kind=kind, message=message, problems=list(problems)))
        return JSONResponse(refusal.document(), status)
    title = TITLES.get(status, "Something went wrong")
    return HTMLResponse(page("problem.html", title=title, status=status, problems=problems, again=again), status)


def refused(request: Request, error: Exception) -> Response:
    """Of what speciate raises on purpose."""
    assert isinstance(error, SpeciateError)
    status = 404 if isinstance(error, NotFound) else 503 if isinstance(error, StorageError) else 400
    status = status if isinstance(error, InputError | StorageError) else 500
    return problem(request.url.path, status, type(error).__name__, str(error).splitlines() or [""])


def not_understood(request: Request, error: Exception) -> Response:
    """Of a query that says what no query can say."""
    assert isinstance(error, RequestValidationError)
    found = [f"{fault['loc'][-1]}: {fault['msg']}, not {fault['input']!r:.60}" for fault in error.errors()]
    return problem(request.url.path, 422, "InputError", found)


def not_there(request: Request, error: Exception) -> Response:
    """Of an address that nothing answers."""
    assert isinstance(error, HTTPException)
    said = f"nothing is at {request.url.path!r:.120}" if error.status_code == 404 else str(error.detail)
    return problem(request.url.path, error.status_code, "NotFound", [said])


def defect(request: Request, error: Exception) -> Response:
    """Of an error that nobody foresaw; its traceback goes to the terminal of whoever runs the server."""
    said = f"a defect of speciate ({type(error).__name__}); the terminal that runs it shows more"
    return problem(request.url.path, 500, "Defect", [said])
