"""The people of a round: under pseudonyms, with tokens that only they know."""

from __future__ import annotations

import hashlib
import secrets
from typing import cast

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from preflab.errors import UserError
from preflab_people.judgments import Person, PersonState
from preflab_people.store import events, schema
from preflab_people.store.records import Invitation, Member, StoreRefusal, Try
from preflab_people.store.settings import RoundSettings

LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Of pseudonyms: those that nobody takes for another."""
STATES: tuple[PersonState, ...] = ("screening", "active", "paused", "removed")
"""Those that can be given; forgotten is for good."""


def token_digest(token: str) -> str:
    """sha256 (hex) of a token, which is all that a store knows of it."""
    return hashlib.sha256(token.encode("utf8", "surrogatepass")).hexdigest()


def invite(
    connection: Connection,
    settings: RoundSettings,
    group: str,
    held_out: bool,
    screened: bool,
    now: float,
) -> Invitation:
    """Add a person. Held-out people and those screened elsewhere are not screened."""
    taken = set(connection.scalars(select(schema.people.c.id)))
    labeler = next(name for name in iter(_pseudonym, "") if name not in taken)
    token = secrets.token_urlsafe(16)
    is_screened = settings.screening is None or held_out or screened
    state: PersonState = "active" if is_screened else "screening"
    connection.execute(
        insert(schema.people).values(
            id=labeler,
            n=len(taken),
            group=group,
            held_out=int(held_out),
            state=state,
            token=token_digest(token),
        )
    )
    said = {"group": group, "held_out": held_out, "state": state}
    events.append(connection, "invited", now, said, labeler=labeler)
    return Invitation(labeler, token)


def _pseudonym() -> str:
    return "labeler-" + "".join(secrets.choice(LETTERS) for _ in range(4))


def new_token(connection: Connection, labeler: str, now: float) -> Invitation:
    """Another token for a person who lost theirs; the old one is void."""
    locked(connection, labeler)
    token = secrets.token_urlsafe(16)
    _set(connection, labeler, token=token_digest(token))
    events.append(connection, "token", now, labeler=labeler)
    return Invitation(labeler, token)


def locked(connection: Connection, labeler: str) -> RowMapping:
    """A person's row, kept from others until the end of the transaction."""
    query = select(schema.people).where(schema.people.c.id == labeler).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise StoreRefusal("unknown_person")
    if row["state"] == "forgotten":
        raise StoreRefusal("forgotten")
    return row


def of_row(row: RowMapping) -> Person:
    """The person that a row of the table holds."""
    state = cast(PersonState, row["state"])
    return Person(row["id"], row["group"], bool(row["held_out"]), state)


def by_token(connection: Connection, token: str) -> Person | None:
    """Whose token it is; None for nobody's, and for people who were removed."""
    query = select(schema.people).where(schema.people.c.token == token_digest(token))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None or row["state"] == "removed" else of_row(row)


def everybody(connection: Connection) -> tuple[Person, ...]:
    """All people in the order in which they were invited, forgotten ones by name alone."""
    rows = connection.execute(select(schema.people).order_by(schema.people.c.n)).mappings()
    return tuple(of_row(row) for row in rows)


def set_state(connection: Connection, labeler: str, state: PersonState, now: float) -> None:
    """Let a person work, pause or go; or decide about their screening."""
    if state not in STATES:
        raise UserError(f"A person cannot be made {state!r}. Allowed: {', '.join(STATES)}.")
    before = locked(connection, labeler)["state"]
    if before != state:
        _set(connection, labeler, state=state)
        said = {"before": before, "state": state}
        events.append(connection, "state", now, said, labeler=labeler)


def consent(connection: Connection, labeler: str, version: int, now: float) -> None:
    """A person agreed to a version of the consent text."""
    if locked(connection, labeler)["consent"] != version:
        _set(connection, labeler, consent=version)
        events.append(connection, "consented", now, {"version": version}, labeler=labeler)


def _set(connection: Connection, labeler: str, **values: object) -> None:
    connection.execute(update(schema.people).where(schema.people.c.id == labeler).values(**values))


def count(connection: Connection, labeler: str, submitted: int, skipped: int) -> None:
    """Add to a person's numbers of valid answers."""
    columns = schema.people.c
    _set(
        connection,
        labeler,
        submitted=columns.submitted + submitted,
        skipped=columns.skipped + skipped,
    )


def members(
    connection: Connection, settings: RoundSettings, labeler: str | None = None
) -> tuple[Member, ...]:
    """All people, or one, with what they did."""
    chosen = select(schema.people).order_by(schema.people.c.n)
    columns = schema.events.c
    times = select(columns.labeler, func.min(columns.at), func.max(columns.at)).where(
        columns.labeler.is_not(None)
    )
    if labeler is not None:
        chosen = chosen.where(schema.people.c.id == labeler)
        times = times.where(columns.labeler == labeler)
    spans = {row[0]: row[1:] for row in connection.execute(times.group_by(columns.labeler))}
    tried = tries(connection, labeler)
    made = []
    for row in connection.execute(chosen).mappings():
        mine = tried.get(row["id"], ())
        made.append(
            Member(
                of_row(row),
                row["consent"],
                row["submitted"],
                row["skipped"],
                mine,
                waits(settings, row["state"], mine),
                *spans.get(row["id"], (None, None)),
            )
        )
    return tuple(made)


def tries(connection: Connection, labeler: str | None = None) -> dict[str, tuple[Try, ...]]:
    """By person, of all or of one: the tries of their screening that are over."""
    columns = schema.events.c
    query = select(columns.n, columns.labeler).where(columns.kind == "screened")
    if labeler is not None:
        query = query.where(columns.labeler == labeler)
    found: dict[str, tuple[Try, ...]] = {}
    for n, name in connection.execute(query.order_by(columns.n)).all():
        said = events.body(connection, n)
        if said is not None:
            one = Try(said["pairs"], said["flags"], said["passed"])
            found[name] = (*found.get(name, ()), one)
    return found


def waits(settings: RoundSettings, state: str, tried: tuple[Try, ...]) -> bool:
    """Whether a person's screening is over without success, so that somebody must decide."""
    allowed = settings.screening.tries if settings.screening else 0
    measured = all(one.pairs is not None or one.flags is not None for one in tried)
    return state == "screening" and (len(tried) >= allowed or not measured)
