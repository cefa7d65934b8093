"""The server of the registry's page: a port that is bound before anything is said, and a link that opens it."""

import ipaddress
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from speciate.browse.app import guarded
from speciate.browse.guard import ASKED_FOR, Access
from speciate.browse.patience import MOST_AT_ONCE, Impatient
from speciate.errors import InputError

STOP_S = 2
"""That an answer under way may take when the server is told to stop."""
NOWHERE = "192.0.2.1"
"""An address that no machine has; asking for the way to it sends nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server listens."""

    socket: socket.socket
    host: str
    """As it stands in a link."""
    port: int
    access: Access

    @property
    def link(self) -> str:
        """What opens the page, with the token where one is needed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?{ASKED_FOR}={self.access.token}" if self.access.token else "")


def bound(host: str, port: int) -> Place:
    """A socket that listens; port 0 takes any that is free. Raises InputError where that cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host!r} is no address of this machine: {error}") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        advice = "--port 0 takes any that is free" if port else "try another --host"
        raise InputError(f"cannot listen on {host}, port {port}: {error.strerror or error}; {advice}") from error
    number = int(listening.getsockname()[1])
    local = ipaddress.ip_address(str(address[0]).partition("%")[0])
    if local.is_loopback:
        return Place(listening, host, number, Access(frozenset({"localhost", host.lower()})))
    machine = socket.gethostname().lower()
    names = frozenset({"localhost", host.lower(), machine, f"{machine}.local", socket.getfqdn().lower()})
    access = Access(names, secrets.token_urlsafe(32), f"speciate-{number}")
    return Place(listening, _outside(family) if local.is_unspecified else host, number, access)


def serve(place: Place, ready: Callable[[], None]) -> None:
    """Answer until the process is interrupted; `ready` is called when the first request can come."""
    _Server(configuration(place), ready).run(sockets=[place.socket])


def configuration(place: Place) -> uvicorn.Config:
    """How the server answers at a place."""
    return uvicorn.Config(
        guarded(place.access),
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_S,
        ws="none",
        http=Impatient,
        limit_concurrency=MOST_AT_ONCE,
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def _outside(family: int) -> str:
    """The address by which others probably reach this machine; its name where it has no network."""
    if family == socket.AF_INET:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((NOWHERE, 9))
                return str(probe.getsockname()[0])
        except OSError:
            pass
    return socket.gethostname()
