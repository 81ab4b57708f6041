"""Sockets, and uvicorn until it is interrupted: what every server of preflab shares."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from preflab.errors import UserError


class _Server(uvicorn.Server):
    """uvicorn, with a word when calls are taken, and one when it is to end."""

    def __init__(
        self, config: uvicorn.Config, begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._begin, self._end = begin, end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._begin()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end()
        await super().shutdown(sockets)


def run(
    app: ASGIApp,
    listening: socket.socket,
    begin: Callable[[], None],
    behind_proxy: bool = False,
    most_connections: int = 1000,
    end: Callable[[], None] = lambda: None,
    grace: int = 5,
) -> None:
    """Serve an application until SIGINT or SIGTERM, and close the socket. begin: called once calls
    are taken. behind_proxy: a proxy on this machine says who the callers are. end: called when a
    signal has come; answers have ``grace`` seconds from then."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # of addresses nothing is kept
        server_header=False,
        ws="none",
        proxy_headers=behind_proxy,  # from this machine alone, uvicorn's default
        timeout_keep_alive=20,
        timeout_graceful_shutdown=grace,
        limit_concurrency=most_connections,
    )
    try:
        _Server(config, begin, end).run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # uvicorn ends cleanly and sends the signal once more
    finally:
        listening.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that waits for calls. Raises UserError if that is impossible."""
    made = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(512)
    except OSError as error:
        if made is not None:
            made.close()
        raise UserError(
            f"Nothing can be served on {address(host, port)}: {error.strerror or error}. Is "
            "another server there? Choose another port with --port; 0 takes a free one."
        ) from error
    return made


def address(host: str, port: int) -> str:
    """Host and port as they stand in an address.

    >>> address("localhost", 80), address("::1", 80)
    ('localhost:80', '[::1]:80')
    """
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def port_of(listening: socket.socket) -> int:
    """The port that a socket has."""
    return int(listening.getsockname()[1])
