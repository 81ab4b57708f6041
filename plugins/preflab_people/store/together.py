"""Writing together: whatever waits for its turn is done in the next transaction, and one wait for
the disk serves all of it.

SQLite has one writer at a time, and every answer on PostgreSQL waits for the end of the history,
which one transaction holds; and a transaction takes its time where it waits for the disk. Each
piece of work stands within a savepoint: one that fails leaves nothing, and does not touch the
others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from preflab.errors import StorageError

T = TypeVar("T")
MOST = 64
"""Pieces of work in one transaction, so that the first of them does not wait for long."""


@dataclass(eq=False)
class _Piece:
    """Work that waits, and what came of it."""

    work: Callable[[Connection], Any]
    done: bool = False
    result: Any = None
    error: Exception | None = None


class _Alone(Exception):
    """Each piece needs a transaction of its own: there is one, or the database refused one of
    several, and nothing of them is done."""


class Together:
    """turn: who holds it writes. begin: a transaction, which is on disk when it has ended."""

    def __init__(
        self,
        turn: threading.Lock,
        begin: Callable[[], AbstractContextManager[Connection]],
    ) -> None:
        self._turn, self._begin = turn, begin
        self._waiting: deque[_Piece] = deque()

    def do(self, work: Callable[[Connection], T]) -> T:
        """Do a piece of work; it is on disk when this returns. It may be done again from the
        start."""
        mine = _Piece(work)
        self._waiting.append(mine)
        with self._turn:
            while not mine.done:
                self._some(mine)
        if mine.error is not None:
            raise mine.error
        result: T = mine.result
        return result

    def _some(self, mine: _Piece) -> None:
        """Do what waits. Whoever was interrupted while they did it left it to its owners."""
        pieces: list[_Piece] = []
        while self._waiting and len(pieces) < MOST:
            pieces.append(self._waiting.popleft())
        if mine not in pieces and mine not in self._waiting:
            pieces.append(mine)
        try:
            if len(pieces) == 1:
                raise _Alone
            self._in_one(pieces)
        except _Alone:
            for piece in pieces:
                self._alone(piece)
        except StorageError as error:  # it could not begin, or could not be put on disk
            for piece in pieces:
                piece.error, piece.done = error, True

    def _alone(self, piece: _Piece) -> None:
        """A transaction for one piece."""
        try:
            with self._begin() as connection:
                piece.result = piece.work(connection)
        except Exception as error:
            piece.error = error
        piece.done = True

    def _in_one(self, pieces: list[_Piece]) -> None:
        """One transaction for several. `StorageError` if nothing of it is on disk."""
        made: list[tuple[Any, Exception | None]] = []
        with self._begin() as connection:
            for piece in pieces:
                try:
                    with connection.begin_nested():
                        made.append((piece.work(connection), None))
                except DBAPIError as error:
                    raise _Alone from error
                except Exception as error:
                    made.append((None, error))
        for piece, (result, failure) in zip(pieces, made, strict=True):
            piece.result, piece.error, piece.done = result, failure, True
