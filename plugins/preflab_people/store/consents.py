"""The texts that people agree to. The first one is part of the settings of a round; a later one is
an event, and whoever agreed to an earlier one is asked again. A label is of the text that its
person had agreed to."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from preflab_people.store import events, schema
from preflab_people.store.records import Consent
from preflab_people.store.settings import RoundSettings

CHANGED, AGREED = "consent text", "consented"
"""Kinds of events."""
NEWEST = "consent"
"""Key in ``meta``: version and text of the newest one, if it is not the one of the settings."""
META = schema.meta.c


def newest(connection: Connection, settings: RoundSettings) -> Consent:
    """The text that people must have agreed to; an empty one asks nobody."""
    said = connection.scalar(select(META.value).where(META.key == NEWEST))
    return Consent(*json.loads(said)) if said else Consent(1, settings.consent)


def add(connection: Connection, settings: RoundSettings, markdown: str, now: float) -> int:
    """Make a new version; the number of the newest one, which is this text."""
    before = newest(connection, settings)
    if before.markdown == markdown:
        return before.version
    made = Consent(before.version + 1, markdown)
    value = {"version": made.version, "markdown": markdown, "digest": made.digest}
    events.append(connection, CHANGED, now, value)
    connection.execute(delete(schema.meta).where(META.key == NEWEST))
    kept = {"key": NEWEST, "value": json.dumps([made.version, markdown])}
    connection.execute(insert(schema.meta), [kept])
    return made.version


def everything(connection: Connection, settings: RoundSettings) -> tuple[Consent, ...]:
    """All versions, the oldest first; none if nobody was asked to agree."""
    later = [
        Consent(said["version"], said["markdown"]) for _, _, said in _said(connection, CHANGED)
    ]
    first = Consent(1, settings.consent)
    return tuple(one for one in (first, *later) if one.markdown)


def of_answers(connection: Connection) -> dict[int, int]:
    """By event of an answer the version that its person had agreed to; 0 for none."""
    agreed = [(n, who, said["version"]) for n, who, said in _said(connection, AGREED)]
    rows = connection.execute(
        select(schema.events.c.n, schema.events.c.labeler)
        .where(schema.IS_LIVE)
        .order_by(schema.events.c.n)
    )
    found: dict[int, int] = {}
    last: dict[str, int] = {}
    place = 0
    for n, who in rows:
        while place < len(agreed) and agreed[place][0] < n:
            last[agreed[place][1]] = agreed[place][2]
            place += 1
        found[n] = last.get(who, 0)
    return found


def _said(connection: Connection, kind: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Events of a kind: number, person, and what they say; nothing of people who were forgotten."""
    query = (
        select(schema.events.c.n, schema.events.c.labeler, schema.bodies.c.text)
        .join(schema.bodies, schema.bodies.c.event == schema.events.c.n)
        .where(schema.events.c.kind == kind)
        .order_by(schema.events.c.n)
    )
    return [(n, who, json.loads(text)) for n, who, text in connection.execute(query)]
