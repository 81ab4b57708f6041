"""The application: everything behind one gate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from preflab.errors import nearest
from preflab_people.server.answers import Refused
from preflab_people.server.rules import Gate
from preflab_serve.server.access import MOST_BYTES, Access, add_headers, refused
from preflab_serve.server.routes import Routes
from preflab_serve.service import Service
from preflab_serve.telling import told
from preflab_serve.usage.log import UsageLog

LOG = logging.getLogger("preflab_serve")
HOUR = 3600.0


def create_app(service: Service, access: Access) -> Gate:
    """The server of some arms as an ASGI application."""
    routes = Routes(service).all()
    missing = partial(_missing, [route.path.replace("{name:path}", "NAME") for route in routes])
    inside = Starlette(
        routes=[*routes],
        exception_handlers={Refused: _refused, HTTPException: missing, Exception: _failed},
        lifespan=lambda app: forgetting(service.log),
    )
    inside.router.redirect_slashes = False  # clients that follow nothing would see an empty answer
    check = partial(_checked, access, service.log)
    return Gate(_without_words(inside), check, MOST_BYTES, add_headers, refused)


def _checked(access: Access, log: UsageLog | None, scope: Scope) -> None:
    """Refuse a request by its headers, and note one without a known key. Nothing of what it says
    goes into the log. Raises Refused."""
    try:
        access.check(scope)
    except Refused as error:
        if error.status == 401 and log is not None and log.pay():
            log.write({"key": "", "path": "", "status": error.status})
        raise


def _without_words(app: ASGIApp) -> ASGIApp:
    """The application, whose errors uvicorn does not log: their words may hold texts of users."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            LOG.error("a request failed: %s", told(error))

    return call


@contextlib.asynccontextmanager
async def forgetting(log: UsageLog | None, seconds: float = HOUR) -> AsyncIterator[None]:
    """Files of a log that are too old are removed while the server runs, asked or not, and what is
    owed is written."""

    async def work(log: UsageLog) -> None:
        while True:
            await asyncio.sleep(seconds)
            log.pay()
            log.forget()

    task = None if log is None else asyncio.create_task(work(log))
    yield
    if log is not None and task is not None:
        task.cancel()
        log.close()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refused(error)


async def _missing(addresses: Sequence[str], request: Request, error: Exception) -> Response:
    """Addresses that there are not, and methods that they do not have."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:80]
    if error.status_code != 405:
        sentence = f"There is no address {path}. {nearest(path, addresses)}"
        return refused(Refused(error.status_code, "not_found", sentence))
    allowed = (error.headers or {}).get("Allow", "")
    sentence = f"{path} is asked with {allowed}, not with {request.method}."
    answer = refused(Refused(405, "method", sentence))
    answer.headers["allow"] = allowed
    return answer


async def _failed(request: Request, error: Exception) -> Response:
    """A fault of ours: the client hears that there is one. The log says where it is."""
    return refused(
        Refused(500, "server", "The server has an error of its own; its log says which.")
    )
