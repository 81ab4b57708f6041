"""Models of finished runs behind OpenAI's API: ``preflab serve``; and what its log shows:
``preflab monitor``. Needs the extra ``serve`` only
where a server is started; everything else of preflab stays free of it."""

from __future__ import annotations

from collections.abc import Callable

from preflab import hookimpl
from preflab_serve.commands import monitor, serve

PREFLAB_API = 1


@hookimpl
def preflab_commands() -> list[Callable[[list[str]], int]]:
    """preflab serve, preflab monitor."""
    return [serve, monitor]
