"""``preflab power``: how many seeds decide the claims of a study, from runs that are finished."""

from __future__ import annotations

from collections.abc import Callable

from preflab import hookimpl
from preflab_builtin.power.command import power


@hookimpl
def preflab_commands() -> list[Callable[[list[str]], int]]:
    """preflab power."""
    return [power]
