"""A contained process that is spoken to in lines of JSON: started, watched, killed with all that it started.

Trusts nothing that the process says: what is no JSON ends it. Knows nothing of requests, and starts nothing again.
"""

import json
import os
import select
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from speciate.errors import MissingComponent
from speciate.niches.child import Child

Failure = Literal["", "error", "timeout", "memory", "crash"]
_START_TIMEOUT_S = 120.0
_LONGEST_LINE = 1 << 27
_PIECE = 1 << 20


class Ended(Exception):
    """The process is of no more use."""

    def __init__(self, failure: Failure, detail: str) -> None:
        self.failure: Failure = failure
        self.detail = detail
        super().__init__(detail)


class Process:
    """A running worker. Every failure raises Ended, and `close` kills its whole session."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.is_ready = False
        self._unread = b""
        self._unsent = b""
        self._child = Child(command, environment)

    @property
    def pid(self) -> int:
        """The process, or the wrapper that contains it."""
        return self._child.pid

    def wait_ready(self) -> None:
        """Wait until it takes requests. Raises MissingComponent where a package is not installed."""
        until = time.monotonic() + _START_TIMEOUT_S
        while not self.is_ready:
            for said in self.exchange(until - time.monotonic()):
                if isinstance(said, dict) and "missing" in said:
                    name = str(said["missing"])
                    raise MissingComponent(
                        f"the package {name!r} is not installed: run `pip install {name.replace('_', '-')}`"
                    )
                self.is_ready = isinstance(said, dict) and said.get("ready") is True
                if not self.is_ready:
                    raise Ended("crash", f"it said {str(said)[:80]!r}")
            if time.monotonic() > until:
                raise Ended("timeout", f"it was not ready after {_START_TIMEOUT_S:.0f} s")

    def send(self, line: bytes) -> None:
        """Send a line with the next exchange."""
        self._unsent += line

    def exchange(self, wait_s: float) -> list[Any]:
        """Send what is to be sent and return what was said meanwhile; waits until something can be done."""
        sending = [self._child.input] if self._unsent else []
        readable, writable, _ = select.select([self._child.output], sending, [], max(0.0, wait_s))
        if writable:
            try:
                self._unsent = self._unsent[os.write(self._child.input.fileno(), self._unsent[:_PIECE]) :]
            except BlockingIOError:
                pass
            except OSError as error:
                raise self._end("it reads no more") from error
        if not readable:
            return []
        piece = os.read(self._child.output.fileno(), _PIECE)
        if not piece:
            raise self._end("it ended")
        *lines, self._unread = (self._unread + piece).split(b"\n")
        if len(self._unread) > _LONGEST_LINE:
            raise Ended("crash", "it talks without end")
        try:
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError) as error:
            raise Ended("crash", f"it said no JSON: {lines[0][:80]!r}") from error

    def close(self) -> None:
        """Kill the process and all that it started; may be called again, and in a copy of this process does nothing."""
        self._child.close()

    def _end(self, what: str) -> Ended:
        status = self._child.status(1)
        words = " ".join(self._child.last_words(2000).split())[-200:]
        return Ended("crash", f"{what} (status {status}){': ' + words if words else ''}")
