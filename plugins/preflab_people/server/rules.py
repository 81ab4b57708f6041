"""What a request must look like before any of our code sees it: a known host, this site's own
origin, JSON of a bounded size; and the headers that every answer carries.

The rules are for browsers that another page drives (forged requests, rebound host names) and for
careless programs. Encryption is the work of the proxy in front.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preflab.errors import UserError
from preflab_people.server.answers import Refused, error_response

MOST_BYTES = 64 * 1024
"""Of a request's body."""
BODY_SECONDS = 60.0
"""In which all of it must be there."""
OWN_HEADER = "x-preflab"
"""Pages of other sites cannot send it without asking first, and nobody answers them."""
OWN_PAGES = ("same-origin", "none")
"""What a browser says of a request by a page of this server, or by its owner."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",  # assigning text to innerHTML is an error
        "trusted-types 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """hosts: names by which a browser may call this server, without ports. scheme: "https" if a
    proxy in front speaks TLS: a page of the same name without it is another origin. This machine's
    own names for itself are called without TLS."""

    hosts: frozenset[str]
    scheme: str = "http"

    def check(self, scope: Scope) -> None:
        """Refuse a request by its headers. Raises Refused."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or host_name(host) not in self.hosts:
            raise Refused(421, "host", f"This server does not answer for the host {host[:80]!r}.")
        # "same-site" is another port or another name of this machine: not one of our pages either.
        if _is_api(scope) and headers.get("sec-fetch-site", "none") not in OWN_PAGES:
            raise Refused(403, "origin", "Requests from other sites are refused.")
        if scope["method"] in ("GET", "HEAD"):
            return
        if scope["method"] != "POST":
            raise Refused(405, "method", "Only GET, HEAD and POST are answered.")
        scheme = "http" if host_name(host) in LOOPBACK else self.scheme
        if headers.getlist("origin") != [f"{scheme}://{host}"]:
            raise Refused(
                403,
                "origin",
                f"The request does not come from a page of {scheme}://{host}. A proxy in front "
                "must pass on the header Host as the browser sent it.",
            )
        if headers.get(OWN_HEADER) != "1":
            raise Refused(403, "header", f"The header {OWN_HEADER}: 1 is missing.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "content_type", "The body must be application/json.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            raise too_large(MOST_BYTES)


def too_large(most: int) -> Refused:
    """The refusal of a body of more than ``most`` bytes."""
    return Refused(413, "too_large", f"The request is longer than {most // 1024} KB.")


def host_name(host: str) -> str:
    """The name in a Host header, in lower case, without port and brackets, and an address in its
    shortest form; "" if it is none.

    >>> host_name("LocalHost:8000"), host_name("[0:0::1]:8000"), host_name("a@b"), host_name("a/b")
    ('localhost', '::1', '', '')
    """
    if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?", host):
        return ""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
        return str(ipaddress.IPv6Address(name)) if host.startswith("[") else name
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is reachable from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, False, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_api(scope: Scope) -> bool:
    return str(scope["path"]).startswith("/api/")


class Gate:
    """The middleware around everything: checks the request, bounds its body, adds the headers.

    check: of the headers, raises Refused. most: bytes of a body. add: headers of an answer to a
    path. refusal: a refusal as an answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        check: Callable[[Scope], None],
        most: int,
        add: Callable[[MutableHeaders, str], None],
        refusal: Callable[[Refused], Response] = error_response,
    ) -> None:
        self.app, self.check, self.most, self.add, self.refusal = app, check, most, add, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.add(MutableHeaders(raw=message["headers"]), scope["path"])
            await send(message)

        try:
            self.check(scope)
            body = await read_body(receive, self.most) if scope["method"] == "POST" else b""
        except Refused as refused:
            await self.refusal(refused)(scope, receive, send_with_headers)
            return
        parts = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive_body() -> Message:
            return next(parts, None) or await receive()

        await self.app(scope, receive_body, send_with_headers)


async def read_body(receive: Receive, most: int) -> bytes:
    """The whole body. Raises Refused if it is too long, whatever its header said, or too slow."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _whole_body(receive, most)
    except TimeoutError:
        raise Refused(408, "slow", f"The body took more than {BODY_SECONDS:g} s.") from None


async def _whole_body(receive: Receive, most: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "gone", "The client has gone.")
        body += message.get("body", b"")
        if len(body) > most:
            raise too_large(most)
        if not message.get("more_body", False):
            return bytes(body)


def add_headers(headers: MutableHeaders, path: str) -> None:
    """Headers of every answer. Only the page's own scripts and styles may be kept by a browser,
    which asks each time whether they have changed."""
    for name, value in HEADERS.items():
        headers[name] = value
    headers["cache-control"] = "no-cache" if path.startswith("/static/") else "no-store"


def host_of(name: str) -> str:
    """The host that a person names, an IPv6 address also without brackets; "" if it is none."""
    return host_name(name) or host_name(f"[{name}]")


def allowed_hosts(names: Iterable[str]) -> frozenset[str]:
    """This machine's names for itself, and those that were allowed by name. `UserError` for what is
    no name of a host, which would allow nobody in silence."""
    found = {name: host_of(name) for name in names if name}
    if wrong := [name for name, host in found.items() if not host]:
        host = urlsplit(wrong[0]).netloc.rpartition("@")[2]
        meant = f" Did you mean '{host}'?" if host_name(host) else ""
        raise UserError(
            f"'{wrong[0]}' is no name of a host: give it without https:// and path.{meant}"
        )
    return frozenset((*LOOPBACK, *found.values()))
