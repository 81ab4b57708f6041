"""The people of a round: under pseudonyms, with tokens that only they know."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict
from typing import cast

from sqlalchemy import Connection, Double, RowMapping, bindparam, func, insert, select, update

from preflab.errors import UserError
from preflab_people.judgments import Person, PersonState
from preflab_people.store import events, schema
from preflab_people.store.records import Invitation, Member, StoreRefusal, Try
from preflab_people.store.settings import RoundSettings

LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Of pseudonyms: those that nobody takes for another."""
STATES: tuple[PersonState, ...] = ("screening", "active", "paused", "removed")
"""Those that can be given; forgotten is for good."""

PEOPLE, EVENTS = schema.people.c, schema.events.c
_found = select(schema.people).where(PEOPLE.id == bindparam("labeler"))
_locked = _found.with_for_update()
_token = select(PEOPLE.token).where(PEOPLE.id == bindparam("labeler"))
_whose = update(schema.people).where(PEOPLE.id == bindparam("whose"))
_counted = _whose.values(
    submitted=PEOPLE.submitted + bindparam("more_submitted"),
    skipped=PEOPLE.skipped + bindparam("more_skipped"),
    last=func.coalesce(bindparam("now", type_=Double), PEOPLE.last),
)


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
    taken = set(connection.scalars(select(PEOPLE.id)))
    labeler = next(name for name in iter(_pseudonym, "") if name not in taken)
    token = secrets.token_urlsafe(16)
    is_screened = settings.screening is None or held_out or screened
    state: PersonState = "active" if is_screened else "screening"
    add(connection, Person(labeler, group, held_out, state), token, now)
    return Invitation(labeler, token)


def add(connection: Connection, person: Person, token: str | None, now: float) -> None:
    """Put a person into the round. token: None for one who cannot come in."""
    number = connection.scalar(select(func.count()).select_from(schema.people))
    values = {**asdict(person), "held_out": int(person.held_out), "n": number, "since": now}
    digest = None if token is None else token_digest(token)
    connection.execute(insert(schema.people).values(**values, token=digest))
    said = {"group": person.group, "held_out": person.held_out, "state": person.state}
    events.append(connection, "invited", now, said, labeler=person.id)


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
    row = connection.execute(_locked, {"labeler": labeler}).mappings().one_or_none()
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
    query = select(schema.people).where(PEOPLE.token == token_digest(token))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None or row["state"] == "removed" else of_row(row)


def link_mark(connection: Connection, labeler: str) -> str:
    """16 hex digits that follow from a person's token; "-" if they have none."""
    token = connection.scalar(_token, {"labeler": labeler})
    return "-" if token is None else hashlib.sha256(f"link {token}".encode()).hexdigest()[:16]


def everybody(connection: Connection) -> tuple[Person, ...]:
    """All people in the order in which they were invited, forgotten ones by name alone."""
    rows = connection.execute(select(schema.people).order_by(PEOPLE.n, PEOPLE.id)).mappings()
    return tuple(of_row(row) for row in rows)


def set_state(connection: Connection, labeler: str, state: PersonState, now: float) -> str:
    """Let a person work, pause or go; or decide about their screening. The state before."""
    if state not in STATES:
        raise UserError(f"A person cannot be made {state!r}. Allowed: {', '.join(STATES)}.")
    before = locked(connection, labeler)["state"]
    if before != state:
        _set(connection, labeler, state=state)
        said = {"before": before, "state": state}
        events.append(connection, "state", now, said, labeler=labeler)
    return str(before)


def make_nobody(connection: Connection, labeler: str) -> None:
    """Leave the name alone of a person who was forgotten."""
    nothing = {"group": "", "consent": 0, "submitted": 0, "skipped": 0}
    _set(connection, labeler, state="forgotten", token=None, last=None, **nothing)


def consent(connection: Connection, labeler: str, version: int, now: float) -> None:
    """A person agreed to a version of the consent text."""
    if locked(connection, labeler)["consent"] != version:
        _set(connection, labeler, consent=version)
        events.append(connection, "consented", now, {"version": version}, labeler=labeler)


def _set(connection: Connection, labeler: str, **values: object) -> None:
    connection.execute(_whose.values(**values), {"whose": labeler})


def count(
    connection: Connection, labeler: str, submitted: int, skipped: int, now: float | None = None
) -> None:
    """Add to a person's numbers of valid answers. now: they answered just now."""
    more = {"more_submitted": submitted, "more_skipped": skipped, "now": now}
    connection.execute(_counted, {"whose": labeler, **more})


def one(connection: Connection, labeler: str) -> Person:
    """A person; `StoreRefusal` if there is none of this name."""
    row = connection.execute(_found, {"labeler": labeler}).mappings().one_or_none()
    if row is None:
        raise StoreRefusal("unknown_person")
    return of_row(row)


def members(
    connection: Connection, settings: RoundSettings, labeler: str | None = None
) -> tuple[Member, ...]:
    """All people, or one, with what they did."""
    chosen = select(schema.people).order_by(PEOPLE.n, PEOPLE.id)
    if labeler is not None:
        chosen = chosen.where(PEOPLE.id == labeler)
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
                row["since"],
                row["last"],
            )
        )
    return tuple(made)


def tries(connection: Connection, labeler: str | None = None) -> dict[str, tuple[Try, ...]]:
    """By person, of all or of one: the tries of their screening that are over."""
    query = select(EVENTS.n, EVENTS.labeler).where(EVENTS.kind == "screened")
    if labeler is not None:
        query = query.where(EVENTS.labeler == labeler)
    found: dict[str, tuple[Try, ...]] = {}
    for n, name in connection.execute(query.order_by(EVENTS.n)).all():
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
