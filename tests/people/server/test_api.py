"""Tests of what a person can do over HTTP, from the first page to the closed round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from people.server.sites import Site, a_site, ranking, three
from preflab.records import Prompt
from preflab_people.judgments import Answer, Task
from preflab_people.server.settings import Example
from preflab_people.store import Screening

CONSENT: dict[str, Any] = {"consent": "# Consent\n\nYou may stop at *any* time."}


def test_a_person_consents_works_and_is_thanked(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1), **CONSENT) as site:
        assert site.login()["next"] == "/consent"
        assert site.task() == {"next": "/consent"}
        text = site.get("consent")
        assert (text["version"], text["nodes"][0]["tag"]) == (1, "h2")
        site.store.add_consent("You may stop.", site.clock())  # while the page is open
        assert site.post("consent", {"version": 1}).status_code == 409
        assert site.get("consent")["version"] == 2
        assert site.post("consent", {"version": 2}).json()["next"] == "/task"
        given = site.task()
        assert site.post("submit", site.submission(given)).json() == {"event": 5, "repeated": False}
        assert site.task() == {"next": "/done"}
        me = site.get("me")
        assert (me["next"], me["done"], me["closed"]) == ("/task", 1, False)


def test_outputs_come_in_the_persons_order_and_go_back_to_the_pools(tmp_path: Path) -> None:
    task = ranking("p", ["a", "b", "a", "c"])
    with a_site(tmp_path, [task], flags=("rude",), likert=True) as site:
        labeler = site.login()["labeler"]
        given = site.task()
        shown = given["task"]["outputs"]
        assert sorted(shown) == ["a", "b", "c"]  # equal texts once
        ranks = ["bca".index(text) + 1 for text in shown]  # b before c before a
        flags = [["rude"] if text == "a" else [] for text in shown]
        body = site.submission(given, ranks=ranks, likert=[7 - r for r in ranks], flags=flags)
        assert site.post("submit", body).status_code == 200
        (judgment,) = site.store.snapshot().judgments
    assert judgment.answer == Answer(
        ranks=(3, 1, 3, 2),
        likert=(4, 6, 4, 5),
        flags=(("rude",), (), ("rude",), ()),
    )
    assert [task.responses[i] for i in judgment.order] == shown
    assert (judgment.labeler, judgment.seconds) == (labeler, 12.5)


def test_the_same_key_is_one_answer_and_another_key_a_correction(tmp_path: Path) -> None:
    with a_site(tmp_path, three(2)) as site:
        site.login()
        given = site.task()
        body = site.submission(given)
        first = site.post("submit", body).json()
        assert site.post("submit", body).json() == {"event": first["event"], "repeated": True}
        again = {**site.submission(given), "answer": {"ranks": [3, 2, 1]}}
        assert site.post("submit", again).json()["event"] > first["event"]
        other = {**body, "task": site.task()["task"]["id"]}
        assert site.post("submit", other).json()["error"]["code"] == "key_reused"
        snapshot = site.store.snapshot()
        assert len(snapshot.judgments) == 1
        assert sorted(r for r in snapshot.judgments[0].answer.ranks if r) == [1, 2, 3]


def test_an_answer_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1), flags=("rude",)) as site:
        site.login()
        given = site.task()
        answers: list[dict[str, Any]] = [
            {"ranks": [1, 2]},
            {"ranks": [1, 2, None]},
            {"ranks": [1, 2, 3], "flags": [["unheard"], [], []]},
            {"skipped": "no reason of ours"},
            {"notes": "nothing else"},
        ]
        for answer in answers:
            response = site.post("submit", site.submission(given, **answer))
            assert response.status_code == 422, answer
        assert site.store.progress().done == 0
        assert site.task()["task"] == given["task"]


def test_a_skip_has_its_reason_and_the_task_goes_to_others(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        site.login()
        given = site.task()
        body = site.submission(given, skipped="unclear", notes="what is a foo?")
        assert site.post("submit", body).status_code == 200
        assert site.task() == {"next": "/done"}
        site.login()
        assert site.task()["task"]["id"] == given["task"]["id"]


def test_undo_gives_the_task_back_with_the_answer_as_it_was_shown(tmp_path: Path) -> None:
    with a_site(tmp_path, three(2), likert=True) as site:
        site.login()
        assert site.post("undo").json()["error"]["code"] == "nothing_to_undo"
        given = site.task()
        body = site.submission(given, ranks=[2, 1, 2], likert=[3, 7, 3], notes="n")
        site.post("submit", body)
        back = site.post("undo").json()
        assert back["task"] == given["task"]
        assert back["answer"]["ranks"] == [2, 1, 2]
        assert (back["answer"]["likert"], back["answer"]["notes"]) == ([3, 7, 3], "n")
        assert site.task()["task"] == given["task"]
        changed = {**site.submission(given), "answer": {"ranks": [1, 1, 1], "likert": [4, 4, 4]}}
        assert site.post("submit", changed).status_code == 200
        assert len(site.store.snapshot().judgments) == 1


def test_a_draft_comes_back_wherever_the_person_signs_in(tmp_path: Path) -> None:
    with a_site(tmp_path, three(3)) as site:
        person = site.invite()
        site.login(person)
        given = site.task()
        body = {"answer": {"ranks": [None, 2, None], "notes": "half"}, "changes": 4, "step": 3}
        assert site.post("draft", {"task": given["task"]["id"], "body": body}).json() == {}
        site.login(person)  # another browser
        again = site.task()
        assert (again["task"], again["draft"]) == (given["task"], body)


def test_a_better_response_is_written_where_all_are_bad(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        site.login()
        given = site.task()
        body = site.submission(given, ranks=[None] * 3, written="A good one.")
        assert site.post("submit", body).status_code == 200
        assert site.store.snapshot().judgments[0].answer.written == "A good one."


def test_a_demonstration_is_a_text(tmp_path: Path) -> None:
    task = Task("t1", "demonstrate", Prompt("p", "Write a poem."))
    with a_site(tmp_path, [task], kind="demonstrate") as site:
        site.login()
        given = site.task()
        assert (given["task"]["form"], given["task"]["outputs"]) == ("write", [])
        assert site.post("submit", site.submission(given, written="  ")).status_code == 422
        assert site.post("submit", site.submission(given, written="Roses.")).status_code == 200
        assert site.store.snapshot().judgments[0].answer == Answer(written="Roses.")


# --- leases, clocks, disks ---


def test_a_late_answer_is_kept_if_the_task_wants_it_and_refused_by_name_if_not(
    tmp_path: Path,
) -> None:
    with a_site(tmp_path, three(1), lease_seconds=60.0) as site:
        slow, quick = site.invite(), site.invite()
        site.login(slow)
        given = site.task()
        site.clock.now += 61
        assert site.post("submit", site.submission(given)).status_code == 200
        site.post("undo")
        site.clock.now += 61
        site.login(quick)
        assert site.post("submit", site.submission(site.task())).status_code == 200
        site.login(slow)
        response = site.post("submit", site.submission(given))
        assert (response.status_code, response.json()["error"]["code"]) == (409, "task_full")
        assert "Your answer was not taken" in response.json()["error"]["message"]
        assert site.store.progress().done == 1


def test_a_page_that_is_alive_keeps_its_task(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1), lease_seconds=60.0) as site:
        site.login()
        given = site.task()
        for _ in range(5):
            site.clock.now += 50
            until = site.post("renew", {"task": given["task"]["id"]}).json()["until"]
            assert until == site.clock.now + 60
        site.login()
        assert site.task() == {"next": "/done"}  # it is still the other one's


def test_a_clock_that_is_set_back_a_day_loses_nothing(tmp_path: Path) -> None:
    with a_site(tmp_path, three(3)) as site:
        person = site.invite()
        site.login(person)
        site.post("submit", site.submission(site.task()))
        given = site.task()
        site.clock.now -= 86_400
        assert site.task()["task"] == given["task"]
        assert site.post("submit", site.submission(given)).status_code == 200
        assert site.post("submit", site.submission(site.task())).status_code == 200
        assert site.store.progress().done == 3


@pytest.mark.parametrize("pragma", ["query_only = ON", "max_page_count = 1"])
def test_a_store_that_cannot_write_says_so_and_the_same_key_works_later(
    tmp_path: Path, pragma: str
) -> None:
    """Read-only, and full (no page may be added): one clear answer, nothing half done."""
    with a_site(tmp_path, three(40)) as site:
        site.login()
        given = site.task()
        engine = site.store._database.engine
        engine.dispose()

        def limit(connection: Any, record: Any) -> None:
            connection.execute(f"PRAGMA {pragma}")

        event.listen(engine, "connect", limit)
        note = "x" * 4000  # more than the free room of the last page
        body = site.submission(given, ranks=[1, 2, 3], notes=note, written=note * 4)
        response = site.post("submit", body)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "storage")
        assert response.headers["retry-after"] == "5"
        event.remove(engine, "connect", limit)
        engine.dispose()
        assert site.post("submit", body).json()["repeated"] is False
        assert site.post("submit", body).json()["repeated"] is True


# --- screening, instructions, examples, the end ---


def _screened(site: Site, ranks: list[int]) -> None:
    given = site.task()
    shown = given["task"]["outputs"]
    order = [ranks[int(text[0])] for text in shown]  # texts begin with their index in the pool
    assert site.post("submit", site.submission(given, ranks=order)).status_code == 200


def test_screening_shows_where_a_person_stands(tmp_path: Path) -> None:
    tried = [ranking(f"s{n}", ["0 a", f"1 b{n}"], "screening") for n in range(4)]
    tasks = [*tried, ranking("p", ["0 x", "1 y"])]
    rules = Screening(tasks=2, cut=0.75, tries=2)
    with a_site(tmp_path, tasks, screening=rules) as site:
        person = site.invite()
        me = site.login(person)
        start = {"over": False, "waits": False, "tasks": 2, "cut": 75, "allowed": 2, "done": 0}
        assert me["screening"] == {**start, "tries": []}
        _screened(site, [2, 1])  # the researcher says: 0 before 1
        assert site.get("me")["screening"]["done"] == 1
        _screened(site, [2, 1])
        failed = {"pairs": 0.0, "flags": None, "passed": False}
        assert site.get("me")["screening"] == {**start, "tries": [failed]}
        _screened(site, [1, 2])
        _screened(site, [1, 2])
        seen = site.get("me")["screening"]
        assert (seen["over"], [one["passed"] for one in seen["tries"]]) == (True, [False, True])
        assert site.task()["task"]["outputs"] in (["0 x", "1 y"], ["1 y", "0 x"])
        for state in ("paused", "removed"):
            site.store.set_state(person.labeler, state, site.clock())
            assert site.get("me")["next"] == "/done"
            assert site.task() == {"next": "/done"}


def test_who_fails_twice_waits_for_a_decision(tmp_path: Path) -> None:
    tried = [ranking(f"s{n}", ["0 a", f"1 b{n}"], "screening") for n in range(2)]
    rules = Screening(tasks=1, tries=2)
    with a_site(tmp_path, [*tried, *three(1)], screening=rules) as site:
        person = site.invite()
        site.login(person)
        _screened(site, [2, 1])
        _screened(site, [2, 1])
        assert site.get("me")["next"] == "/screening"
        assert site.task() == {"next": "/screening"}
        site.store.set_state(person.labeler, "active", site.clock())
        assert site.get("me")["next"] == "/task"


def test_a_new_version_of_the_instructions_comes_with_the_next_task(tmp_path: Path) -> None:
    with a_site(tmp_path, three(2)) as site:
        assert site.login()["has_instructions"] is False
        assert site.task()["instructions"] == {"version": 0, "nodes": []}
        site.store.add_instructions("Be *kind*.", site.clock())
        given = site.task()
        assert given["instructions"]["version"] == 1
        assert given["instructions"] == site.get("instructions")
        site.store.add_instructions("Be kind, <b>always</b>.", site.clock())
        assert site.post("submit", site.submission(given)).status_code == 200
        assert site.task()["instructions"] == {
            "version": 2,
            "nodes": [{"tag": "p", "children": ["Be kind, <b>always</b>."]}],
        }
        assert site.store.snapshot().judgments[0].instructions == 1  # what was shown


def test_worked_examples_hold_the_researchers_answer(tmp_path: Path) -> None:
    example = Example(
        Prompt("", "Name a fruit."), ("Apple.", "Car."), Answer((1, 2)), "*No* fruit."
    )
    with a_site(tmp_path, three(1), {"examples": (example,)}) as site:
        assert site.login()["has_examples"] is True
        (shown,) = site.get("examples")["examples"]
        assert shown["turns"] == [{"role": "", "text": "Name a fruit."}]
        assert (shown["outputs"], shown["ranks"]) == (["Apple.", "Car."], [1, 2])
        assert shown["reason"][0]["tag"] == "p"


def test_a_closed_round_takes_no_answer_and_says_so(tmp_path: Path) -> None:
    with a_site(tmp_path, three(2)) as site:
        site.login()
        given = site.task()
        site.store.close(site.clock())
        response = site.post("submit", site.submission(given))
        assert (response.status_code, response.json()["error"]["code"]) == (409, "closed")
        assert site.task() == {"next": "/done"}
        me = site.get("me")
        assert (me["next"], me["closed"]) == ("/done", True)


def test_a_removed_person_can_read_and_send_nothing(tmp_path: Path) -> None:
    with a_site(tmp_path, three(2)) as site:
        person = site.invite()
        site.login(person)
        given = site.task()
        site.store.set_state(person.labeler, "removed", site.clock())
        assert site.post("submit", site.submission(given)).json()["error"]["code"] == "not_active"
        assert site.post("login", {"token": person.token}).status_code == 401
