"""Nothing that a person did is lost: reloads, killed servers, no network, two tabs, the back
button, a closed browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.labeling import Person, Round, a_person, a_round, watch
from people.server.sites import three

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from preflab_people.judgments import Judgment

pytestmark = pytest.mark.browser
PLAIN = {"likert": False, "flags": ()}


def _begin(person: Person, round_: Round, link: str = "") -> str:
    """Open the first task, rank two of three outputs and begin a note."""
    link = link or round_.invite()
    person.open(link)
    person.task(1)
    person.press("2", "j", "1")
    person.page.locator("#notes").focus()
    person.page.keyboard.type("half a")
    return link


def _assert_draft(person: Person) -> None:
    person.task(1)
    states = person.page.locator("#outputs .state").all_inner_texts()
    assert states == ["Rank 2", "Rank 1", "no rank yet"]
    assert person.page.locator("#notes").input_value() == "half a"


def test_a_draft_survives_a_reload_and_a_closed_browser(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, three(1), **PLAIN) as round_:
        with a_person(browser) as person:
            link = _begin(person, round_)
            person.page.reload()  # at once: the device has it, the server not yet
            _assert_draft(person)
            person.press("k", "1", "2")  # a change, and back: a draft of this visit
            person.saved()
        with a_person(browser) as elsewhere:  # a browser that knows nothing
            elsewhere.open(link)
            _assert_draft(elsewhere)
            assert elsewhere.problems == []


def test_a_killed_server_costs_nothing(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, three(2), **PLAIN) as round_, a_person(browser) as person:
        _begin(person, round_)
        person.saved()
        round_.server.kill()
        person.page.keyboard.type("!")
        person.page.locator("#saved", has_text="Kept on this device").wait_for()
        round_.server.start()
        person.saved()
        round_.server.kill()
        person.press("Escape")
        person.press("j", "3", "Enter")
        problem = person.page.locator("#problem", has_text="Your answer is kept and is sent again")
        problem.wait_for()
        person.press("1", "u", "Enter")  # nothing more is changed or sent meanwhile
        assert round_.judgments == ()
        round_.server.start()
        person.page.locator("#problem-act").click()  # try now
        person.task(2)
        assert problem.is_hidden()
        judgment: Judgment = next(iter(round_.judgments))
        assert judgment.answer.notes == "half a!"
        assert [judgment.answer.ranks[i] for i in judgment.order] == [2, 1, 3]


def test_an_answer_that_was_not_confirmed_is_sent_after_a_reload_with_the_same_key(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, three(2), **PLAIN) as round_, a_person(browser) as person:
        _begin(person, round_)
        bodies: list[str] = []
        lose = True

        def answer(route: object) -> None:
            """The server takes it, and its answer is lost on the way."""
            bodies.append(route.request.post_data)  # type: ignore[attr-defined]
            response = route.fetch()  # type: ignore[attr-defined]
            if lose:
                route.abort()  # type: ignore[attr-defined]
            else:
                route.fulfill(response=response)  # type: ignore[attr-defined]

        person.page.route("**/api/submit", answer)
        person.press("Escape")
        person.press("j", "3", "Enter")
        person.page.locator("#problem", has_text="sent again").wait_for()
        lose = False
        person.page.reload()
        person.task(2)
        assert len(set(bodies)) == 1
        assert len(bodies) >= 2
        assert len(round_.judgments) == 1


def test_without_a_network_everything_waits_on_the_device(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, three(2), **PLAIN) as round_, a_person(browser) as person:
        _begin(person, round_)
        person.context.set_offline(True)
        person.press("Escape")
        person.press("j", "3", "Enter")
        person.page.locator("#problem", has_text="No connection").wait_for()
        person.context.set_offline(False)
        person.task(2)
        assert len(round_.judgments) == 1


def test_two_tabs_are_one_task_and_one_answer(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, three(3), **PLAIN) as round_, a_person(browser) as person:
        link = _begin(person, round_)
        person.saved()
        tab = Person(person.context.new_page(), person.context)
        watch(tab, tab.page)
        tab.open(link)
        _assert_draft(tab)  # the same task and draft
        tab.press("j", "3", "Enter")
        tab.task(2)
        person.task(2)  # the other tab has heard of it
        assert person.outputs() == tab.outputs()
        assert len(round_.judgments) == 1
        person.rank(1, 1, 1)
        person.press("Enter")
        person.task(3)
        tab.task(3)
        assert len(round_.judgments) == 2
        assert person.problems == tab.problems == []


def test_two_tabs_that_cannot_hear_each_other_make_a_correction(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, three(2), **PLAIN) as round_:
        with a_person(browser) as person, a_person(browser) as other:
            link = _begin(person, round_)
            other.open(link)
            other.task(1)
            other.rank(1, 1, 1)
            other.press("Enter")
            other.task(2)
            person.press("Escape")
            person.press("j", "3", "Enter")
            person.page.locator("#outputs", has_text="1").wait_for()
        (judgment,) = round_.judgments
        assert [judgment.answer.ranks[i] for i in judgment.order] == [2, 1, 3]


def test_the_back_button_goes_one_step_back_and_keeps_the_draft(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, three(1), likert=True, flags=()) as round_, a_person(browser) as person:
        person.open(round_.invite())
        person.task(1)
        page = person.page
        person.press("7", "Enter", "6", "Enter")
        heading = page.locator("#outputs h2")
        page.locator("#outputs h2", has_text="Output C").wait_for()
        page.go_back()
        page.locator("#outputs h2", has_text="Output B").wait_for()
        assert page.get_by_role("radio", checked=True).get_attribute("value") == "6"
        page.go_forward()
        page.locator("#outputs h2", has_text="Output C").wait_for()
        assert heading.count() == 1
        page.goto(f"{round_.server.base}/instructions")
        page.go_back()
        person.task(1)
        page.locator("#outputs h2", has_text="Output C").wait_for()
        page.locator("#steps button").first.click()
        assert page.get_by_role("radio", checked=True).get_attribute("value") == "7"
        assert round_.judgments == ()


def test_a_task_that_others_have_finished_is_refused_by_name(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, three(2), **PLAIN) as round_, a_person(browser) as person:
        _begin(person, round_)
        person.press("Escape")
        (labeler,) = round_.tokens
        given = round_.store.next_task(labeler, now=0.0)
        assert given is not None
        round_.store.close(now=0.0)
        person.press("j", "3", "Enter")
        person.page.locator("#problem", has_text="This round is closed").wait_for()
        person.page.wait_for_url("**/done")
        person.page.locator("#state", has_text="This round is closed").wait_for()


def test_signing_out_leaves_nothing_on_the_device(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, three(1), **PLAIN) as round_, a_person(browser) as person:
        link = _begin(person, round_)
        person.saved()
        person.page.locator("#leave").click()
        person.page.locator("#state", has_text="You are signed out").wait_for()
        kept = person.page.evaluate("Object.keys(localStorage)")
        assert [key for key in kept if "draft" in key or "pending" in key] == []
        person.page.goto(f"{round_.server.base}/task")
        person.page.wait_for_url(f"{round_.server.base}/")
        person.page.locator("#state", has_text="Please open the link").wait_for()
        person.open(link)
        _assert_draft(person)
