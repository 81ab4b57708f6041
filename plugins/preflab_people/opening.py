"""The store of a round, opened: where it is, and what must be installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab_people.rounds import PEOPLE, Round

if TYPE_CHECKING:
    from preflab_people.judgments import Task
    from preflab_people.store import RoundSettings, Store

PASSWORD = "PGPASSWORD"
"""Environment variable with the password of a PostgreSQL store, which no file holds."""
PACKAGES = (
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "itsdangerous",
    "limits",
    "markdown_it",
    "evalica",
)


def need_extra() -> None:
    """`UserError` if the packages of the extra ``label`` are not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"preflab label needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'preflab[label]'"
        )


def address(folder: Path, store: str) -> str:
    """Where a store is: a file in the folder of its round, or a database, with the password that
    the environment has."""
    if "://" not in store:
        return str(folder / store)
    from sqlalchemy import make_url

    url = make_url(store)
    if url.password is None and os.environ.get(PASSWORD):
        url = url.set(password=os.environ[PASSWORD])
    return url.render_as_string(hide_password=False)


def without_password(store: str) -> str:
    """The address of a database as a file may hold it; `UserError` if it holds a password."""
    if "://" in store:
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            has_password = make_url(store).password is not None
        except ArgumentError as error:
            raise UserError(f"--database: {error}") from None
        if has_password:
            raise UserError(
                "--database holds a password, which would stand in round.json and in the list of "
                f"processes: leave it out and set the environment variable {PASSWORD}."
            )
    return store


def open_store(folder: Path, found: Round, serving: bool = False) -> Store:
    """The store of a round. serving: be its one server; `UserError` if there is another one."""
    need_extra()
    from preflab_people.store import Store

    return Store.open(address(folder, found.store), serving, folder / PEOPLE)


def create_store(
    folder: Path, made: Round, settings: RoundSettings, tasks: Sequence[Task], now: float
) -> Store:
    """The store of a new round."""
    need_extra()
    from preflab_people.store import Store

    return Store.create(address(folder, made.store), settings, tasks, now)
