"""Connections on which nothing is asked are closed, so that half a request holds no place of a server for long."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""A whole request has so long to come."""
MOST_AT_ONCE = 200
"""Connections; on more than these a request is answered with 503."""


class Impatient(H11Protocol):
    """uvicorn's own waits for the end of a request without end."""

    waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_longer()
        super().connection_lost(exc)

    def _wait(self) -> None:
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._wait_no_longer()
        elif self.waiting is None:
            self.waiting = self.loop.call_later(REQUEST_S, self.transport.close)

    def _wait_no_longer(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
