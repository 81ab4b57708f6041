"""Serving a round until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from urllib.parse import quote

from preflab.errors import UserError
from preflab_people.server.app import create_app
from preflab_people.server.listening import address, listen, port_of, run
from preflab_people.server.rules import is_loopback
from preflab_people.server.settings import ServerSettings
from preflab_people.store import Store

PORT = 8787
TLS = (
    "This server speaks no TLS: that is the task of a proxy in front of it, which must pass on the "
    "header Host as browsers send it."
)


def serve(
    store: Store,
    settings: ServerSettings,
    host: str = "127.0.0.1",
    port: int = PORT,
    announce: Callable[[str], None] = print,
    ready: Callable[[str], None] | None = None,
    listening: socket.socket | None = None,
) -> None:
    """Serve a round until SIGINT or SIGTERM. port: 0 takes a free one. Open the store with
    ``serving=True``, so that no second process serves it. ready: called with the address
    (`base_url`) once calls are taken. listening: what `listen` gave for this host and port, which
    is closed at the end.

    Raises UserError for a host that others can reach without a name that they may use, or
    without anybody invited, and for a port that is taken.
    """
    if not is_loopback(host):
        _check_open_to_others(store, settings, host)
        announce(TLS)
    app = create_app(store, settings)
    listening = listening or listen(host, port)
    base = base_url(settings, host, port_of(listening))

    def begin() -> None:
        announce(f"Serving {store.settings.name} on {base}")
        if ready is not None:
            ready(base)

    run(app, listening, begin, behind_proxy=bool(settings.public_url))


def _check_open_to_others(store: Store, settings: ServerSettings, host: str) -> None:
    check_names(settings.names, host)
    if not store.people():
        raise UserError(
            f"On {host} other machines reach the server, and nobody has been invited, so nobody "
            "could sign in: invite people first."
        )


def check_names(names: Sequence[str], host: str) -> None:
    """`UserError` for a host that other machines reach without a name that they may use."""
    if not names and not is_loopback(host):
        raise UserError(
            f"On {host} other machines reach the server: say by which name browsers may call it, "
            "as the public address (https://NAME of the proxy in front) or as an allowed host."
        )


def base_url(settings: ServerSettings, host: str = "127.0.0.1", port: int = PORT) -> str:
    """How people reach the server."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    shown = settings.names[0] if settings.names and not is_loopback(host) else host
    return f"http://{address(shown, port)}"


def link(base: str, token: str) -> str:
    """The link of one person. Its token stands behind #, which browsers send to nobody.

    >>> link("https://label.example.org", "abc")
    'https://label.example.org/#abc'
    """
    return f"{base}/#{quote(token)}"
