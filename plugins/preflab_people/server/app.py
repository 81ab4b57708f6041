"""The application: pages, their API and their files behind one gate."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from preflab_people.server import api, pages
from preflab_people.server.answers import Refused, error_response
from preflab_people.server.languages import check_languages
from preflab_people.server.rules import MOST_BYTES, Gate, Rules, add_headers, allowed_hosts
from preflab_people.server.sessions import Limits, Sessions
from preflab_people.server.settings import ServerSettings
from preflab_people.store import Store


def create_app(
    store: Store, settings: ServerSettings, clock: Callable[[], float] = time.time
) -> Gate:
    """The server of one round as an ASGI application. clock: seconds since 1970. Raises UserError
    for languages that the pages do not speak."""
    offered = check_languages(store.settings.languages)
    service = api.Service(
        store,
        settings,
        Sessions(settings.secret, secure=settings.scheme == "https"),
        Limits(settings.logins, settings.submissions),
        clock,
    )
    files = StaticFiles(packages=[("preflab_people.server", "static")])
    rules = Rules(allowed_hosts(settings.names), settings.scheme)
    inside = Starlette(
        routes=[*pages.routes(offered), *api.routes(service), Mount("/static", files)],
        exception_handlers={HTTPException: _missing, Exception: _failed},
    )
    # Around all of it: errors have its headers too.
    return Gate(inside, rules.check, MOST_BYTES, add_headers)


async def _missing(request: Request, error: Exception) -> Response:
    """Addresses that there are not, and methods that they do not have."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/api/"):
        return error_response(Refused(error.status_code, "missing", error.detail))
    return PlainTextResponse(f"{error.detail}\n", error.status_code)


async def _failed(request: Request, error: Exception) -> Response:
    """A fault of ours: the page hears that there is one. The log, which uvicorn writes, says
    what it is."""
    return error_response(Refused(500, "server", "The server has an error of its own."))
