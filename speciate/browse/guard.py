"""Who may ask, and what every answer says to a browser. Stands before everything else, errors too.

A web page of somebody else can make a browser ask any address. So only names of this machine are answered (a name that
was rebound to it is not one of them), nothing can be changed by asking, and where others can reach the port a secret is
asked for: once in the link, then as a cookie that no script and no other site's request has.
"""

import hmac
import ipaddress
import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speciate.browse.pages import page
from speciate.browse.problems import API, problem

ASKED_FOR = "token"
"""Its name in a link."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Access:
    """Under which names the server answers, and for whom."""

    names: frozenset[str] = frozenset({"localhost"})
    """In small letters; addresses need not be among them."""
    token: str = ""
    """Empty where only this machine can reach the port: nobody is asked for one."""
    cookie: str = "speciate"
    """Its name; cookies of all ports of a machine lie together."""

    def answers_to(self, host: str) -> bool:
        """Whether a Host header is one of ours. An address is nobody's name, so it cannot have been rebound; but on a
        port that only this machine reaches, only its own addresses are expected.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").lower().rstrip(".")
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return bool(self.token) or address.is_loopback

    def admits(self, token: str) -> bool:
        """Compared in a time that tells nothing of it."""
        return hmac.compare_digest(token.encode(errors="replace"), self.token.encode())


class Guard:
    """The application behind its guard."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        head = scope["method"] == "HEAD"

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            elif head:
                message = {**message, "body": b""}
            await send(message)

        answer = self._turned_away(scope) or self.app
        await answer({**scope, "method": "GET"}, receive, guarded)

    def _turned_away(self, scope: Scope) -> Response | None:
        """The answer to who may not ask; None lets a request through."""
        path, headers = scope["path"], Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.access.answers_to(hosts[0]):
            said = f"this server does not answer to the name {hosts[0] if hosts else ''!r:.80}"
            return problem(path, 400, "InputError", [f"{said}; open the address that the command printed"])
        if scope["method"] not in ("GET", "HEAD"):
            answer = problem(path, 405, "InputError", ["the registry is changed by `speciate registry` only"])
            answer.headers["Allow"] = "GET, HEAD"
            return answer
        return self._asked_for_token(scope, headers) if self.access.token else None

    def _asked_for_token(self, scope: Scope, headers: Headers) -> Response | None:
        path = scope["path"]
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.access.admits(bearer.strip()):
            return None
        if self.access.admits(_cookie(headers, self.access.cookie)) and not _in_link(scope):
            return None
        if not path.startswith(API) and self.access.admits(_in_link(scope)):
            return self._welcome(scope)
        said = "a token is needed: open the whole link that `speciate registry browse` printed"
        if path.startswith(API):
            said = "a token is needed: send it as `Authorization: Bearer TOKEN`"
        answer = problem(path, 401, "InputError", [said], again=True)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def _welcome(self, scope: Scope) -> Response:
        """Keep the token, and go on without it in the address.

        A page and no redirect: on a redirect that began on another site, a browser does not send the new cookie.
        """
        asked = [pair for pair in _query(scope) if pair[0] != ASKED_FOR]
        # Slashes at the beginning, and what browsers take for one, would name another host.
        address = "/" + quote(scope["path"].lstrip("/\\")) + (f"?{urlencode(asked)}" if asked else "")
        answer = HTMLResponse(page("welcome.html", address=address))
        answer.set_cookie(self.access.cookie, self.access.token, path="/", httponly=True, samesite="strict")
        return answer


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _in_link(scope: Scope) -> str:
    return next((value for name, value in _query(scope) if name == ASKED_FOR), "")


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
