"""Stores of earlier forms: brought to today's, or refused with the cure."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from people.store.rounds import a_round, answer, tasks
from preflab.errors import StorageError, UserError
from preflab_people.store import Store, schema
from preflab_people.store.database import Database
from preflab_people.store.migrating import copy_of

FORMS = {2: "05ba94767c5525ca118d7d2a5aeb459942e4a2b2c0e06bf698ff14259a63f617"}
"""By number of a form: sha256 of the statements that make its tables."""
FORM_1 = Path(__file__).with_name("form_1.sql")
"""A round of eight tasks, the first three double, that three people and a held-out one began.

The preflab before 5077aab made it. Answers, in their order: t0 by 2pxe and pppb, t1 by p6zs and
seqj (held out), t2 by 2pxe, t3 by pppb, t2 by p6zs, t4 by seqj; 2pxe holds t5, with a draft."""
ALL = ("labeler-2pxe", "labeler-pppb", "labeler-p6zs", "labeler-seqj")


def _form() -> str:
    """The statements that make all tables, on both databases."""
    made = []
    for dialect in (sqlite.dialect(), postgresql.dialect()):  # type: ignore[no-untyped-call]
        for table in schema.metadata.sorted_tables:
            made.append(str(CreateTable(table).compile(dialect=dialect)))
            indexes = sorted(table.indexes, key=lambda index: str(index.name))
            made += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return " ".join("\n".join(made).split())


def test_other_tables_have_another_number() -> None:
    found = hashlib.sha256(_form().encode()).hexdigest()
    assert FORMS[schema.SCHEMA] == found, (
        "the tables changed: raise schema.SCHEMA, bring stores of the form before there in "
        "migrating.py, and add the new digest here beside the old ones"
    )


def _earlier(place: str) -> None:
    """Make a store of form 1."""
    lines = FORM_1.read_text(encoding="utf8").splitlines()
    database = Database(place)
    word = "DOUBLE" if database.is_sqlite else "DOUBLE PRECISION"
    statements = "\n".join(lines[1:-1]).replace("DOUBLE", word).split(";\n")
    engine = create_engine(database.url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.removesuffix(";"))
    engine.dispose()
    database.dispose()


def test_a_store_of_form_1_goes_on(place: str, caplog: pytest.LogCaptureFixture) -> None:
    _earlier(place)
    before = _bodies(place)
    with caplog.at_level(logging.WARNING), Store.open(place) as store:
        assert store.verify() == ()
        seen, progress = store.snapshot(), store.progress()
        said = [(judgment.task, judgment.labeler[-4:]) for judgment in seen.judgments]
        assert said == [
            *(("t0", "2pxe"), ("t0", "pppb"), ("t1", "p6zs"), ("t1", "seqj")),
            *(("t2", "2pxe"), ("t3", "pppb"), ("t2", "p6zs"), ("t4", "seqj")),
        ]
        assert tuple(person.id for person in seen.people) == ALL
        assert store.instructions().markdown == "# Read this"
        # 3 x 2 + 5 are wanted; what the held-out person said of t1 and t4 takes nobody's place any
        # more: 6 are done, t5 is held, and of t1, t4, t6 and t7 one each is open.
        assert (progress.wanted, progress.done, progress.open) == (11, 6, 5)
        given = store.next_task(ALL[0], 60.0)
        assert given is not None
        assert (given.task.id, given.draft) == ("t5", {"answer": {"notes": "half"}})
        answer(store, ALL[0], "t5", 61.0)
        assert store.verify() == ()
    assert "was brought from form 1 of its tables to form 2" in caplog.text
    assert _bodies(place)[: len(before)] == before


def _bodies(place: str) -> list[tuple[object, ...]]:
    """All that anybody said, and the chain over it, letter by letter."""
    database = Database(place)
    query = "SELECT n, chain, salt, text FROM events JOIN bodies ON event = n ORDER BY n"
    with database.reading() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    database.dispose()
    return rows


def test_a_copy_is_kept_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "store.sqlite"
    _earlier(str(path))
    before = _bodies(str(path))
    Store.open(path).dispose()
    kept = copy_of(path, 1)
    assert f"it is kept in {kept}" in caplog.text
    assert _bodies(str(kept)) == before
    assert kept.stat().st_mode & 0o077 == 0  # for its owner alone
    caplog.clear()
    Store.open(path).dispose()
    assert caplog.text == ""  # once


def test_an_earlier_form_is_not_changed_under_a_server(place: str) -> None:
    _earlier(place)
    server = Database(place)
    server.serve()
    with pytest.raises(UserError, match="Another process serves"):
        Store.open(place)
    server.dispose()
    Store.open(place, serving=True).dispose()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("ALTER TABLE people DROP COLUMN since", r"people\.since"),
        ("UPDATE bodies SET text = '{}' WHERE event = 8", "event 8: what it says was changed"),
        ("DELETE FROM meta WHERE key = 'settings'", "its settings"),
    ],
)
def test_what_cannot_be_brought_here_is_refused_with_the_cure(
    place: str, change: str, problem: str
) -> None:
    _earlier(place)
    database = Database(place)
    database.write(lambda connection: connection.execute(text(change)))
    with pytest.raises(UserError, match=problem) as refused:
        Store.open(place)
    assert "preflab label export NAME --format preflab" in str(refused.value)
    assert "Nothing was changed" in str(refused.value)
    with database.reading() as connection:
        form = connection.scalar(text("SELECT value FROM meta WHERE key = 'schema'"))
    assert form == "1"
    database.dispose()


def test_tables_of_another_program_are_no_round(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    database = Database(path)
    names = ("meta", "head", "events", "bodies")
    with database.engine.begin() as connection:
        for name in names:
            connection.execute(text(f"CREATE TABLE {name} (key TEXT, value TEXT)"))
    database.dispose()
    with pytest.raises(UserError, match="holds no round"):
        Store.open(path)


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store, _ = a_round(path, tasks(single=1))
    harm = text("UPDATE meta SET value = '{\"name\": 1}' WHERE key = 'settings'")
    store._database.write(lambda connection: connection.execute(harm))
    store.dispose()
    with pytest.raises(StorageError, match="is damaged: the settings of its round"):
        Store.open(path)
