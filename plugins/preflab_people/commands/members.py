"""The people of a round: new links, who may work, and who is to be forgotten."""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

from preflab.errors import UserError, nearest
from preflab_people.commands.beginning import say_links
from preflab_people.commands.parsing import Parser, count
from preflab_people.judgments import PersonState
from preflab_people.opening import open_store
from preflab_people.rounds import open_round

STATES = [state for state in get_args(PersonState) if state != "forgotten"]


def invite(words: list[str]) -> int:
    """Invite people into a round; prints a link for each."""
    parser = Parser("label invite", invite.__doc__)
    parser.name()
    one = parser.add_argument
    one("--people", type=count, metavar="N", help="how many (default: 1)")
    one("--group", default="", help="of the people: the group that preferences are reported for")
    one("--held-out", action="store_true", help="their judgments never train anything")
    one("--screened", action="store_true", help="they were tried out before: no screening")
    one("--to", action="append", default=[], metavar="NAME", help="who it is, for people.json only")
    one("--again", metavar="LABELER", help="another link for somebody; the old one is void")
    one("--url", help="under which people reach the server, if not as it was served last")
    options = parser.parse(words)
    if options.people is not None and options.to and options.people != len(options.to):
        raise UserError(f"--people {options.people}, but {len(options.to)} names with --to.")
    folder, made = open_round(options.name)
    if made.frozen:
        raise UserError(f"The round {options.name!r} is closed: nobody can be invited any more.")
    with open_store(folder, made) as store:
        if options.again:
            _known(options.again, [p.id for p in store.people()])
            invitations = [store.new_token(options.again, time.time())]
        else:
            number = options.people or len(options.to) or 1
            sort = (options.group, options.held_out, options.screened)
            known: list[dict[str, str] | None] = [{"to": name} for name in options.to]
            known = known or [None] * number
            invitations = [store.invite(*sort, about, now=time.time()) for about in known]
    base = (options.url or made.url or made.served or "http://127.0.0.1:8787").rstrip("/")
    say_links(base, [(one.labeler, one.token) for one in invitations])
    return 0


def state(words: list[str]) -> int:
    """Let a person work (active), pause (paused) or go (removed: what they said stays on record and
    trains nothing)."""
    parser = Parser("label state", state.__doc__)
    parser.name()
    parser.add_argument("labeler", metavar="LABELER", help="pseudonym, as in status")
    parser.add_argument("state", metavar="STATE", help=", ".join(STATES))
    options = parser.parse(words)
    if options.state not in STATES:
        raise UserError(f"{options.state!r} is no state. {nearest(options.state, STATES)}")
    folder, made = open_round(options.name)
    with open_store(folder, made) as store:
        _known(options.labeler, [p.id for p in store.people()])
        store.set_state(options.labeler, options.state, time.time())
    print(f"{options.labeler} is {options.state} now.")
    if made.frozen:
        print(
            f"The round was closed before, and {made.frozen} stays as it is. "
            f"'preflab label close {options.name}' writes it anew."
        )
    return 0


def forget(words: list[str]) -> int:
    """Forget a person: their judgments, texts, name and survey leave the round. Frozen rounds and
    backups are listed: what happens to them is decided by you."""
    parser = Parser("label forget", forget.__doc__)
    parser.name()
    parser.add_argument("labeler", metavar="LABELER", help="pseudonym, as in status")
    options = parser.parse(words)
    folder, made = open_round(options.name)
    with open_store(folder, made) as store:
        _known(options.labeler, [p.id for p in store.people()])
        store.forget(options.labeler, time.time())
    print(f"{options.labeler} is forgotten in {folder}.")
    kept = sorted(path for path in folder.glob("frozen-*") if _names(path, options.labeler))
    if kept:
        print(
            "Frozen rounds do not change, and these still hold what this person said. Decide with "
            "them what happens:\n  " + "\n  ".join(map(str, kept))
        )
        print(
            f"'preflab label close {options.name}' writes a frozen round without them. Runs that "
            "used one of these are named by its digest in their recipes."
        )
    if copies := sorted(folder.glob("*.form-*.sqlite")):
        print(
            "Copies of the store from before its tables changed hold what they said. Delete them "
            "when you need them no more:\n  " + "\n  ".join(map(str, copies))
        )
    print("Backups and exports that were made before are not changed.")
    return 0


def _names(folder: Path, labeler: str) -> bool:
    """Whether a frozen round holds anything of a person."""
    path = folder / "labels.jsonl"
    return path.is_file() and f'"{labeler}"' in path.read_text(encoding="utf8")


def _known(labeler: str, people: list[str]) -> None:
    if labeler not in people:
        raise UserError(f"There is no {labeler!r} in this round. {nearest(labeler, people)}")
