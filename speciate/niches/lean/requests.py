"""Proofs to check as a file of lines, and their verdicts as lines: what `speciate lean check` reads and writes.

A line `{"id", "statement", "proof", "context"?, "axioms"?}` means `theorem <id> <statement> := <proof>`, after the
context. Knows nothing of engines.
"""

import difflib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from speciate.errors import InputError, NotFound
from speciate.niches.lean.verdict import LeanJob, LeanVerdict, stated

KEYS = ("id", "statement", "proof", "context", "axioms")
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the file."""

    id: str | int
    job: LeanJob


def text_of(path: Path) -> str:
    """A file's text; bytes that are no UTF-8 stay what they are, so that the proof that holds them is refused, not the
    file. Raises NotFound or InputError.
    """
    try:
        return path.read_bytes().decode("utf-8", errors="surrogateescape")
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {str(path)!r}") from error
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from error


def read(path: Path, limits: Callable[[LeanJob], LeanJob], proofless: bool = False) -> list[Request]:
    """The requests of a file, each job after `limits`; a proof may hold any bytes, or be missing where `proofless`.
    Raises InputError with every line that is no request, or NotFound. Other keys than ours are the caller's own.
    """
    requests: list[Request] = []
    problems: list[str] = []
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            request = parse(line, proofless)
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
        else:
            requests.append(replace(request, job=limits(request.job)))
    if len(problems) > _MOST_PROBLEMS:
        problems[_MOST_PROBLEMS:] = [f"... and {len(problems) - _MOST_PROBLEMS} more lines"]
    if problems:
        raise InputError("\n".join(problems))
    if not requests:
        raise InputError(f"{str(path)!r} holds no proof. A line is {json.dumps(dict.fromkeys(KEYS[:3], '...'))}")
    return requests


def parse(line: str, proofless: bool = False) -> Request:
    """The request of one line. Raises ValueError; a misspelt optional key too, as one that is near to ours."""
    try:
        found: Any = json.loads(line)
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    row = cast(dict[str, Any], found)
    if proofless:
        row.setdefault("proof", "")
    if near := [key for key in row if key not in KEYS and difflib.get_close_matches(key, KEYS[1:], 1, 0.75)]:
        raise ValueError(f"it has the key {near[0]!r}; ours are {', '.join(KEYS)}")
    if missing := [key for key in KEYS[:3] if key not in row]:
        raise ValueError(f"it has no {' and no '.join(map(repr, missing))}")
    identity, context, axioms = row["id"], row.get("context") or "", row.get("axioms") or []
    if not isinstance(identity, str | int) or isinstance(identity, bool):
        raise ValueError(f"'id' is {identity!r}; it must be a string or a whole number")
    for key, value in (("statement", row["statement"]), ("proof", row["proof"]), ("context", context)):
        if not isinstance(value, str):
            raise ValueError(f"{key!r} is {value!r:.60}; it must be a string")
    if not isinstance(axioms, list) or not all(isinstance(name, str) for name in cast(list[Any], axioms)):
        raise ValueError(f"'axioms' is {axioms!r:.60}; it must be a list of strings")
    name = name_of(identity)
    allowed = tuple(cast(list[str], axioms))
    statement = stated(name, row["statement"])
    job = LeanJob(context, statement, row["proof"], name, axioms=allowed, auto_implicit=True, renamable=True)
    return Request(identity, job)


def name_of(identity: str | int) -> str:
    """The name of the theorem that is called `identity`."""
    text = "".join(character for character in str(identity) if character.isprintable() and character not in "«»")
    parts = text.split(".")
    return text if all(parts) else text.replace(".", "_") or "t"


def line(request: Request, verdict: LeanVerdict) -> str:
    """The answer to one request as a line of JSON."""
    shown = {name: value for name, value in asdict(verdict).items() if name != "place"}
    return json.dumps({"id": request.id, **shown, "ms": round(verdict.ms, 1)})
