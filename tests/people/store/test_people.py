"""Pseudonyms, tokens and states."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from pathlib import Path

import pytest

from people.store.rounds import a_round, answer, tasks
from preflab.errors import UserError
from preflab_people.judgments import Answer, Person
from preflab_people.store import StoreRefusal


def test_people_have_pseudonyms_and_tokens_of_which_only_the_digest_is_kept(
    tmp_path: Path,
) -> None:
    store, _ = a_round(tmp_path / "store.sqlite", tasks(single=1))
    made = [store.invite(now=1.0) for _ in range(30)]
    assert len({one.labeler for one in made}) == len({one.token for one in made}) == 30
    for one in made:
        assert re.fullmatch("labeler-[2-9a-hjkmnp-z]{4}", one.labeler)
        assert len(one.token) == 22  # 128 bits, 6 a character
    store.dispose()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not [one for one in made if one.token.encode() in files]
    connection = sqlite3.connect(tmp_path / "store.sqlite")
    kept = {row[0] for row in connection.execute("SELECT token FROM people")}
    connection.close()
    assert kept == {hashlib.sha256(one.token.encode()).hexdigest() for one in made}


def test_a_name_that_is_taken_is_not_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = a_round(tmp_path / "store.sqlite", tasks(single=1))
    letters = iter("aaaaaaaabbbb")
    monkeypatch.setattr("secrets.choice", lambda _: next(letters))
    names = [store.invite(now=1.0).labeler for _ in range(2)]
    assert names == ["labeler-aaaa", "labeler-bbbb"]
    store.dispose()


def test_a_new_token_makes_the_old_one_void(place: str) -> None:
    store, _ = a_round(place, tasks(single=1))
    made = store.invite("g", held_out=True, now=1.0)
    again = store.new_token(made.labeler, 2.0)
    assert store.login(made.token, 3.0) is None
    assert store.login(again.token, 3.0) == Person(made.labeler, "g", held_out=True)
    assert store.verify() == ()
    store.dispose()


def test_states_change_by_events(place: str) -> None:
    store, _ = a_round(place, tasks(single=1))
    made = store.invite(now=1.0)
    store.set_state(made.labeler, "paused", 2.0)
    store.set_state(made.labeler, "paused", 3.0)
    assert store.login(made.token, 4.0) == Person(made.labeler, state="paused")
    store.set_state(made.labeler, "removed", 5.0)
    assert store.login(made.token, 6.0) is None
    store.set_state(made.labeler, "active", 7.0)
    assert store.login(made.token, 8.0) is not None
    assert [event.kind for event in store.snapshot().events].count("state") == 3
    with pytest.raises(UserError, match=r"cannot be made 'forgotten'\. Allowed: screening, active"):
        store.set_state(made.labeler, "forgotten", 9.0)
    with pytest.raises(StoreRefusal, match="no such person"):
        store.set_state("labeler-none", "paused", 9.0)
    store.dispose()


def test_a_member_knows_what_they_did(tmp_path: Path) -> None:
    store, (first,) = a_round(tmp_path / "store.sqlite", tasks(single=3), people=1)
    assert (store.member(first).since, store.member(first).last) == (0.0, None)
    for number, said in enumerate((Answer((1, 2, 3)), Answer(skipped="unclear"))):
        given = store.next_task(first, 10.0 + number)
        assert given is not None
        answer(store, first, given.task.id, 20.0 + number, said)
    member = store.member(first)
    assert (member.submitted, member.skipped, member.last) == (1, 1, 21.0)
    store.undo(first, 22.0)
    assert (store.member(first).skipped, store.member(first).last) == (0, 21.0)
    for act in (store.member, store.person):
        with pytest.raises(StoreRefusal, match="no such person"):
            act("labeler-none")
    store.dispose()
