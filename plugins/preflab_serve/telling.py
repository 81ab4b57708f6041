"""What the server's own log says of errors."""

from __future__ import annotations

import traceback


def told(error: BaseException) -> str:
    """The type of an error and where it was raised, the innermost place first, and the same of what
    it came from. Never its words: they may hold what a user wrote.

    >>> try:
    ...     raise ValueError("what a user wrote")
    ... except ValueError as error:
    ...     print(told(error).partition(" at ")[0])
    ValueError
    """
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in frames)
    cause = f"; from {told(error.__cause__)}" if error.__cause__ is not None else ""
    return f"{type(error).__name__} at {places}{cause}"
