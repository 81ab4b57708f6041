"""Both databases: a test that takes ``place`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from people.postgresql import NONE_INSTALLED, Cluster, programs, running


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL cluster for all tests of a process."""
    found = programs()
    if found is None:
        pytest.skip(NONE_INSTALLED)
    with running(found) as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new store can be made."""
    if request.param == "sqlite":
        return str(tmp_path / "store.sqlite")
    made: Cluster = request.getfixturevalue("cluster")
    return made.database()
