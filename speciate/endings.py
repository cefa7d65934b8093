"""How a command ends: the one place where an answer or an error becomes text, one JSON document and an exit status.

An error that speciate raises on purpose carries its message and status. Any other is a defect: its traceback goes to a
file, so that a person can send it, and the screen keeps one line. Knows nothing of the commands.
"""

import contextlib
import json
import os
import platform
import select
import shlex
import sys
import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from speciate import __version__, storage
from speciate.errors import MissingComponent, RecipeError, SpeciateError, StorageError

INTERRUPTED = 130
TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; whatever cleans up after Ctrl-C cleans up after this."""


class Ending(NamedTuple):
    """What went wrong, and the exit status that says so."""

    kind: str
    message: str
    exit_code: int
    problems: Sequence[str] = ()
    screen: str = ""
    """What stderr shows, where it is more than the message."""


def answer(document: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Put the result of a command on stdout: the one JSON document, or the text."""
    with _reader_may_leave():
        click.echo(json.dumps(document, indent=2, allow_nan=False) if as_json else text)


def document(kind: str, **content: Any) -> dict[str, Any]:
    """A JSON document of schema `kind`, such as `doctor/1`."""
    return {"speciate": __version__, "schema": kind, **content}


@contextlib.contextmanager
def stdout_for_answers() -> Generator[None]:
    """What libraries print in the block goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def failed(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell of `error` on stderr, and on stdout too where --json was asked for; the exit status."""
    if isinstance(error, BrokenPipeError) and _reader_left():
        return 0
    ending = _ending(error, arguments)
    click.echo(ending.screen or f"speciate: {ending.message}", err=True)
    if "--json" in arguments:
        fault = {"kind": ending.kind, "message": ending.message, "problems": list(ending.problems)}
        answer(document("error/1", error=fault, exit=ending.exit_code), "", as_json=True)
    return ending.exit_code


def _ending(error: BaseException, arguments: Sequence[str]) -> Ending:
    kind = type(error).__name__
    match error:
        case RecipeError():
            count = len(error.problems)
            message = f"{count} problems; nothing was started" if count > 1 else str(error)
            screen = f"{error}\n{message}" if count > 1 else str(error)
            return Ending(kind, message, error.exit_code, error.problems, screen)
        case SpeciateError():
            return Ending(kind, str(error), error.exit_code, [str(error)])
        case click.exceptions.NoArgsIsHelpError():
            return Ending(kind, "no command was given", error.exit_code, [], error.format_message())
        case click.ClickException():
            message = error.format_message()
            usage = f"\n{error.ctx.get_usage()}" if isinstance(error, click.UsageError) and error.ctx else ""
            return Ending(kind, message, error.exit_code, [message], f"speciate: {message}{usage}")
        case KeyboardInterrupt() | click.Abort():
            status = TERMINATED if isinstance(error, Terminated) else INTERRUPTED
            return Ending("Interrupted", f"interrupted{_way_on(arguments)}", status)
        case ModuleNotFoundError() if error.name and not error.name.startswith("speciate"):
            message = f"the package {error.name!r} is not installed; `uv sync` installs all that speciate needs"
            return Ending(MissingComponent.__name__, message, MissingComponent.exit_code, [message])
        case _:
            return _crash(error, arguments)


def _way_on(arguments: Sequence[str]) -> str:
    """How to go on after an interruption."""
    if arguments[:1] not in (["train"], ["eval"]) and arguments[:2] != ["base", "train"]:
        return ""
    again = shlex.join(["speciate", *arguments, *([] if "--resume" in arguments else ["--resume"])])
    where = "its last answers" if arguments[0] == "eval" else "the last checkpoint"
    return f"; `{again}` goes on from {where}"


def _crash(error: BaseException, arguments: Sequence[str]) -> Ending:
    first_line = (str(error).splitlines() or [""])[0]
    message = f"unexpected {type(error).__name__}: {first_line}"
    trace = "".join(traceback.format_exception(error))
    file = storage.named_home() / "crashes" / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
    screen = f"{trace}speciate: {message}"
    if os.environ.get("SPECIATE_DEBUG") != "1":
        facts = f"speciate {__version__}, Python {platform.python_version()}, {platform.platform()}"
        with contextlib.suppress(StorageError, UnicodeError):
            storage.write_text(file, f"{facts}\n{shlex.join(['speciate', *arguments])}\n\n{trace}")
            screen = f"speciate: {message}\nThis is a defect of speciate; the traceback is in {file}"
    return Ending(type(error).__name__, message, 1, [message], screen)


@contextlib.contextmanager
def _reader_may_leave() -> Generator[None]:
    try:
        yield
    except BrokenPipeError:
        if not _reader_left():
            raise


def _reader_left() -> bool:
    """Whether stdout is a pipe that nobody reads any more; if so, the rest of the output goes nowhere."""
    try:
        stdout = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    errors = select.poll()
    errors.register(stdout, 0)
    if errors.poll(0):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
        return True
    return False
