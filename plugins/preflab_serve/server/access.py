"""Who may ask: known hosts, no pages of other sites, and a key on every address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Scope

from preflab_people.server.answers import JSON, Refused
from preflab_people.server.rules import OWN_PAGES, host_name, too_large
from preflab_serve.keys import digest
from preflab_serve.server import shapes

MOST_BYTES = 4 * 1024 * 1024
NOBODY = "local"
"""Who asks where no keys are needed."""
IS_JSON = r'\s*application/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*'
"""A body in another alphabet would be read as another text."""
WHO = "preflab.key"
"""Where the name of a request's key stands in its scope."""
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """hosts: names by which the server may be called; keys: names of keys by their sha256, {}: none
    is needed."""

    hosts: frozenset[str]
    keys: Mapping[str, str] = field(default_factory=dict)

    def check(self, scope: Scope) -> None:
        """Refuse a request by its headers; note whose it is. Raises Refused."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host_name(host)
        if len(headers.getlist("host")) != 1 or name not in self.hosts:
            sentence = f"This server does not answer for the host {host[:80]!r}."
            cure = f" Whoever starts it can allow that: --allow-host {name[:80]}" if name else ""
            raise Refused(421, "host", f"{sentence}{cure}")
        if headers.get("origin") or headers.get("sec-fetch-site", "none") not in OWN_PAGES:
            raise Refused(403, "origin", "Requests from pages in a browser are refused.")
        scope[WHO] = self._who(headers)
        if scope["method"] in ("GET", "HEAD"):
            return
        if scope["method"] != "POST":
            raise Refused(405, "method", "Only GET, HEAD and POST are answered.")
        kinds = headers.getlist("content-type")
        if not re.fullmatch(IS_JSON, ", ".join(kinds), re.IGNORECASE):
            sentence = (
                "The body must be JSON in UTF-8: send the header Content-Type: application/json."
            )
            raise Refused(415, "content_type", sentence)
        if "content-length" in headers and "transfer-encoding" in headers:
            # A proxy may read the one and this server the other: two requests for one.
            raise Refused(400, "length", "The body has two lengths.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            raise too_large(MOST_BYTES)

    def _who(self, headers: Headers) -> str:
        if not self.keys:
            return NOBODY
        scheme, _, key = headers.get("authorization", "").partition(" ")
        name = self.keys.get(digest(key.strip())) if scheme.lower() == "bearer" else None
        if name is None:
            raise Refused(401, "invalid_api_key", "A key is needed: Authorization: Bearer KEY.")
        return name


def add_headers(headers: MutableHeaders, path: str) -> None:
    """Headers of every answer."""
    for name, value in HEADERS.items():
        headers[name] = value


def refused(error: Refused) -> JSON:
    """A refusal as an answer, in the form that clients read."""
    headers = {"retry-after": str(error.wait)} if error.wait else {}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    body = shapes.error(error.sentence, error.status, error.code, error.field)
    return JSON(body, error.status, headers)
