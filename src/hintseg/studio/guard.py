"""Who may ask the server: its own page on this machine, or whoever has the token.

A page of another site can make a browser send requests to this server, and can rebind its own name
to this machine. Hence: the Host has to be a name of this server, requests that change something
have to come from its own page (Origin, a header that other pages cannot send unasked), bodies are
limited, and another host than this machine needs a token.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY = ("0.0.0.0", "::")
OWN_HEADER = "x-hintseg"
COOKIE = "hintseg-token"
MOST_BYTES = 64 * 2**20  # of a request
SAFE = ("GET", "HEAD")
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Door:
    """By which names the server is called, and what a visitor has to know."""

    hosts: tuple[str, ...] = LOOPBACK
    token: str | None = None

    def knows(self, host: str) -> bool:
        """Whether a Host header names this server; behind a token any name may."""
        return any(name in ANY for name in self.hosts) or _name(host) in self.hosts

    def lets_in(self, given: Iterable[str | None]) -> bool:
        """Whether one of the tokens that a visitor brought is right."""
        if self.token is None:
            return True
        right = self.token.encode()
        return any(
            hmac.compare_digest((token or "").encode("utf-8", "replace"), right) for token in given
        )


class Guard:
    """ASGI middleware in front of everything."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers, query = Headers(scope=scope), QueryParams(scope.get("query_string", b""))
        refusal = self._refusal(scope, headers, query)
        if refusal is not None:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, _marked(send))
        elif self.door.token is not None and "token" in query:
            await self._enter(scope, receive, send)
        else:
            await self.app(scope, receive, _marked(send))

    def _refusal(
        self, scope: Scope, headers: Headers, query: QueryParams
    ) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self.door.knows(host):
            return 403, f"no server of the name {_name(host)!r} here"
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if not self.door.lets_in((query.get("token"), cookie, bearer)):
            return 401, "a token is needed: open the address that `hintseg studio` has printed"
        if scope["method"] not in SAFE and not _from_own_page(headers, host):
            return 403, "only the studio's own page may change something"
        length = headers.get("content-length", "0")
        if not _is_short(length) or "transfer-encoding" in headers:
            return 413, f"more than {MOST_BYTES // 2**20} MB in one request"
        return None

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The token moves from the address, which is seen, into a cookie, which is not."""
        response = RedirectResponse(scope["path"], 303)
        assert self.door.token is not None
        response.set_cookie(COOKIE, self.door.token, httponly=True, samesite="strict")
        await response(scope, receive, _marked(send))


def _name(host: str) -> str:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str:
    """Host and port of an Origin header."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_short(length: str) -> bool:
    """Whether a Content-Length is one of a request that is read."""
    return (
        length.isascii() and length.isdecimal() and len(length) < 12 and int(length) <= MOST_BYTES
    )


def _from_own_page(headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    if origin is not None and _place(origin) != host:
        return False
    fetched = headers.get("sec-fetch-site", "same-origin")
    return OWN_HEADER in headers and fetched == "same-origin"


def _marked(send: Send) -> Send:
    """The same with headers that keep a browser strict, on every answer."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return marked
