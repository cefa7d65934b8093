"""Judging on a Kimina Lean Server over HTTP, through `kimina-client`: many machines, one address.

The server's own verdict is not used: each request is a command file that holds our checker and the proof as a string.
Several requests go in one file, so that the checker is read once for all of them.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from speciate.errors import LeanUnavailable, VerifierError
from speciate.niches.lean import commands
from speciate.niches.lean.worker import WorkerDied, WorkerTooSlow

_CONNECT_S = 30


class KiminaJudge:
    """The checker on a server; several of them may be in use at once, each in its own thread."""

    engine = "kimina"
    together = 16

    def __init__(self, url: str, imports: Sequence[str] = ("Mathlib",), api_key: str | None = None) -> None:
        self.url = url
        self.imports = tuple(imports)
        self.api_key = api_key
        self.version = ""
        self.notes: list[str] = []
        self._client: Any = None

    @property
    def identity(self) -> str:
        """Names the checker, and the Lean of the server: another version is another judge."""
        self.wait_ready()
        return f"{commands.identity(self.imports)} {self.version}"

    @property
    def is_running(self) -> bool:
        """Whether the server answered."""
        return bool(self.version)

    def start(self) -> None:
        """Make a client. Raises LeanUnavailable where the package is missing."""
        if self._client is not None:
            return
        self._client = client_library().KiminaClient(api_url=self.url, api_key=self.api_key, n_retries=1)

    def wait_ready(self) -> None:
        """Ask for the server's Lean. Raises VerifierError where it does not answer, or not as a Kimina server does."""
        if self.version:
            return
        try:
            self.version = commands.version_in(self._messages("#eval Judge.ready", 120.0))
        except (WorkerDied, WorkerTooSlow) as error:
            raise VerifierError(f"the Kimina server at {self.url} does not run the checker: {error}") from error

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """The checker's answer. Raises WorkerDied or WorkerTooSlow, and can be asked again."""
        return self.ask_all([request], timeout_s)[0]

    def ask_all(self, requests: Sequence[Mapping[str, Any]], timeout_s: float) -> list[dict[str, Any]]:
        """The answers to several requests, from one command file. Raises WorkerDied or WorkerTooSlow for them all."""
        command, nonces = commands.asking(requests)
        return commands.answers(self._messages(command, timeout_s * len(requests)), nonces)

    def close(self) -> None:
        """Forget the client; the server stays as it is."""
        self._client = None

    def _messages(self, command: str, timeout_s: float) -> list[dict[str, Any]]:
        import httpx

        self.start()
        code = f"{commands.header(self.imports)}\n{commands.checker()}\n{command}\n"
        self._client.http_timeout = timeout_s + _CONNECT_S
        try:
            snippet = client_library().Snippet.from_code(code)
            found = self._client.api_check([snippet], timeout=max(1, round(timeout_s)), safe=False)
        except (httpx.HTTPError, RuntimeError, ValueError, json.JSONDecodeError) as error:
            raise WorkerDied("process", f"the server does not answer: {str(error)[:300]}") from error
        answer = found.results[0]
        if answer.error is not None:
            if "timed out" in answer.error:
                raise WorkerTooSlow
            raise WorkerDied("process", f"the server says: {answer.error[:300]}")
        response: dict[str, Any] = dict(answer.response or {})
        if "message" in response:
            raise WorkerDied("output", f"the server's REPL says: {str(response['message'])[:300]}")
        return list(response.get("messages") or [])


@functools.cache
def client_library() -> Any:
    """The package `kimina_client`. Raises LeanUnavailable where it is missing."""
    import typing

    import typing_extensions

    # Version 0.2.1 describes its records with typing.TypedDict, which pydantic takes from Python 3.12 on only.
    plain, typing.TypedDict = typing.TypedDict, typing_extensions.TypedDict  # type: ignore[misc,assignment]
    try:
        import kimina_client
    except ImportError as error:
        raise LeanUnavailable("the package `kimina-client` is not installed: `uv sync --extra lean`") from error
    finally:
        typing.TypedDict = plain  # type: ignore[misc]
    return kimina_client
