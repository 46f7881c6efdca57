"""Who may ask a server: by the name it is called by, the page that asks, and a token."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

STRICT = "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
POLICY = STRICT + "form-action 'none'; style-src 'self'; img-src 'self' data: blob:"
PLOTLY_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
"""The Content-Security-Policy of a page, and of one with plots: Plotly writes styles of its own."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

SAFE = ("GET", "HEAD")


@dataclass(frozen=True)
class Access:
    """Who may ask what.

    Attributes:
        host: the name or address that the server listens on.
        port: the port there.
        may_write: whether studies may be started, and the store be changed.
        token: what a browser has to show; None where anybody on this machine may look.
    """

    host: str
    port: int
    may_write: bool = False
    token: str | None = None

    @classmethod
    def of(cls, host: str, port: int, *, may_write: bool) -> Access:
        """Demand a new token where the server may write, or listens to other machines."""
        needs_token = may_write or not is_loopback(host)
        return cls(host, port, may_write, secrets.token_urlsafe(24) if needs_token else None)

    @property
    def address(self) -> str:
        """The address for a browser, with the token."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        query = "" if self.token is None else f"?token={self.token}"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/{query}"

    @property
    def cookie(self) -> str:
        """The name of the cookie that holds the token; cookies of a host are those of all its ports."""
        return f"lrbench-{self.port}"

    @cached_property
    def _names(self) -> frozenset[str]:
        own = {"localhost"} if is_loopback(self.host) else {"localhost", self.host, socket.gethostname()}
        return frozenset(name.lower() for name in own)

    def is_called(self, host: str) -> bool:
        """Tell whether a Host header names this server; a name that a stranger's DNS points here does not."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            return ip_address(name).is_loopback or not is_loopback(self.host)
        except ValueError:
            return False

    def is_token(self, given: str | None) -> bool:
        """Compare a token, in a time that does not depend on how much of it is right."""
        return self.token is None or secrets.compare_digest((given or "").encode(), self.token.encode())


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is reached from this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(origin: str) -> str | None:
    """Return the host and port of an Origin header; None where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


class Guard:
    """Refuse what `Access` does not allow before the application sees it, and add the headers of all answers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            return None
        answer = self._refusal(Request(scope)) or self.app
        return await answer(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        access, headers = self.access, request.headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if not access.is_called(host):
            return PlainTextResponse("This server is not called by that name.", 421)
        navigates = request.method in SAFE and headers.get("sec-fetch-mode") == "navigate"
        foreign = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site") and not navigates
        if foreign or (origin is not None and _host_of(origin) != host):
            return PlainTextResponse("Another page may not ask this server.", 403)
        if access.token is not None and "token" in request.query_params:
            if not access.is_token(request.query_params["token"]):
                return PlainTextResponse("That is not the token of this server.", 401)
            answer = RedirectResponse(request.url.path, 303)
            answer.set_cookie(access.cookie, access.token, httponly=True, samesite="lax")
            return answer
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if not access.is_token(bearer or request.cookies.get(access.cookie)):
            return PlainTextResponse("Open the address that `lrbench serve` has printed: it has the token.", 401)
        if request.method not in SAFE:
            if not access.may_write:
                return PlainTextResponse("This server only shows: start it with --write to change anything.", 403)
            if origin is None and not bearer:
                return PlainTextResponse("A change needs the Origin of the page that asks for it.", 403)
        return None
