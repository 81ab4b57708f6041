"""How often Python searches for garbage."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

OBJECTS = 50_000
"""New objects after which Python searches among them; 700 by itself."""


@contextlib.contextmanager
def seldom_searched() -> Iterator[None]:
    """Within it Python searches for garbage seldom. Imports and composition make a million objects,
    nearly all of which stay: the usual searches would take a seventh of the time of a start."""
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
