"""Labeling by keys alone, and by touch on a small phone: what is stored is exactly what the people
decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.labeling import PHONE, Person, a_person, a_round
from people.server.sites import ranking
from preflab_people.judgments import FLAGS, Task

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
TEXTS = ("Paris is in France.", "Paris.", "I do not know.", "London is nice in May, too.")
KEYS_OF_FLAGS = dict(zip(FLAGS, "qwertyiopad", strict=True))  # without U and S, which have a use


def _content() -> list[Task]:
    """Six tasks of three or four responses; in some two are one text."""
    return [
        ranking(f"p{n}", [f"{text} {n}" for text in (*TEXTS[: 3 + n % 2], *TEXTS[: n % 3 == 0])])
        for n in range(6)
    ]


def _rank(text: str) -> int:
    """The verdict of every robot, from the text alone; there are ties."""
    return 1 if "France" in text else 3 if "not know" in text else 2


def _rating(text: str) -> int:
    return 1 + len(text) % 7


def _flags(text: str) -> tuple[str, ...]:
    return tuple(flag for n, flag in enumerate(FLAGS) if (len(text) + n) % 5 == 0)


def _check(tasks: list[Task], round_: object) -> None:
    by_id = {task.id: task for task in tasks}
    judgments = round_.judgments  # type: ignore[attr-defined]
    assert sorted(j.task for j in judgments) == sorted(by_id)
    for judgment in judgments:
        texts = by_id[judgment.task].responses
        assert judgment.answer.ranks == tuple(map(_rank, texts))
        assert judgment.answer.likert == tuple(map(_rating, texts))
        assert [set(flags) for flags in judgment.answer.flags] == [set(_flags(t)) for t in texts]


def _by_keys(person: Person) -> None:
    """Rate each output, then rank all."""
    count = person.page.locator("#steps li").count() - 1
    for _ in range(count):
        (text,) = person.outputs()
        person.press(str(_rating(text)), *(KEYS_OF_FLAGS[flag] for flag in _flags(text)), "Enter")
    person.page.locator("#board li").first.wait_for()
    person.rank(*map(_rank, person.outputs()))
    person.press("Enter")


def test_two_people_label_a_round_with_keys_alone(browser: Browser, tmp_path: Path) -> None:
    tasks = _content()
    with a_round(tmp_path, tasks) as round_:
        with a_person(browser) as first, a_person(browser) as second:
            done = {id(first): 0, id(second): 0}
            for person in (first, second):
                person.open(round_.invite())
            for turn in range(len(tasks)):
                person = (first, second)[turn % 2]
                done[id(person)] += 1
                person.task(done[id(person)])
                _by_keys(person)
            for person in (first, second):
                person.page.wait_for_url("**/done")
                assert person.pointers == 0
                assert person.problems == []
        _check(tasks, round_)


def _by_touch(person: Person) -> None:
    page = person.page
    count = page.locator("#steps li").count() - 1
    for _ in range(count):
        (text,) = person.outputs()
        page.locator("fieldset").first.get_by_role("radio").nth(_rating(text) - 1).tap()
        for flag in _flags(text):
            page.get_by_role("checkbox").nth(FLAGS.index(flag)).tap()
        page.locator("#submit").tap()
    page.locator("#board li").first.wait_for()
    for place, text in enumerate(person.outputs()):
        page.locator("#outputs article").nth(place).get_by_role("radio").nth(_rank(text) - 1).tap()
    page.locator("#submit").tap()


def test_a_round_is_labelled_by_touch_on_a_small_phone(browser: Browser, tmp_path: Path) -> None:
    tasks = _content()[:3]
    with a_round(tmp_path, tasks) as round_:
        with a_person(browser, PHONE, is_mobile=True, has_touch=True) as person:
            person.open(round_.invite())
            for number in range(1, len(tasks) + 1):
                person.task(number)
                _by_touch(person)
            person.page.wait_for_url("**/done")
            assert person.problems == []
        _check(tasks, round_)


def test_a_card_is_dragged_into_a_column(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, _content()[:1], likert=False, flags=()) as round_:
        with a_person(browser) as person:
            person.open(round_.invite())
            person.task(1)
            page = person.page
            for place, text in enumerate(person.outputs()):
                grip = page.locator("#outputs .grip").nth(place).bounding_box()
                column = page.locator(f".column[data-rank='{_rank(text)}']").bounding_box()
                assert grip is not None
                assert column is not None
                page.mouse.move(grip["x"] + 5, grip["y"] + 5)
                page.mouse.down()
                page.mouse.move(column["x"] + 20, column["y"] + 20, steps=4)
                page.mouse.up()
                assert (
                    page.locator("#outputs .state")
                    .nth(place)
                    .inner_text()
                    .endswith(str(_rank(text)))
                )
            chip = page.locator("#board .chip").first  # from one column to another
            box, last = chip.bounding_box(), page.locator(".column").last.bounding_box()
            letter = chip.inner_text()
            assert box is not None
            assert last is not None
            page.mouse.move(box["x"] + 5, box["y"] + 5)
            page.mouse.down()
            page.mouse.move(last["x"] + 20, last["y"] + 20, steps=4)
            page.mouse.up()
            assert letter in page.locator(".column").last.inner_text()
            page.mouse.move(5, 5)
            person.press("Enter")
            page.wait_for_url("**/done")
        (judgment,) = round_.judgments
        texts = _content()[0].responses
        assert all(r in (_rank(t), 4, 3) for r, t in zip(judgment.answer.ranks, texts, strict=True))


def test_what_is_missing_is_said_and_has_the_focus(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, _content()[:1]) as round_, a_person(browser) as person:
        person.open(round_.invite())
        person.task(1)
        page = person.page
        person.press("Enter")
        assert "Give output A a rating" in page.locator("#problem").inner_text()
        assert page.evaluate("document.activeElement.type") == "radio"
        person.press("5")
        assert page.locator("#problem").is_hidden()
        person.press("Enter", "5", "Enter", "5", "Enter")
        page.locator("#board li").first.wait_for()
        person.press("1", "j", "2", "Enter")
        page.locator("#alert", has_text="Output C has no rank yet.").wait_for(state="attached")
        person.press("3", "Enter")  # the focus is in the group of C
        page.wait_for_url("**/done")
        assert person.pointers == 0


def test_keys_are_for_the_text_while_one_is_written(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, _content()[:1], likert=False, flags=()) as round_:
        with a_person(browser) as person:
            person.open(round_.invite())
            person.task(1)
            page = person.page
            person.rank(1, 1, 2)
            page.locator("#notes").focus()
            page.keyboard.type("just skip? u 1 2 3")
            assert page.locator("dialog[open]").count() == 0
            person.press("Escape", "?")
            assert page.locator("#help").is_visible()
            person.press("Escape")
            page.locator("#notes").focus()
            person.press("Control+Enter")
            page.wait_for_url("**/done")
        assert round_.judgments[0].answer.notes == "just skip? u 1 2 3"


def test_keys_work_on_another_layout_and_can_be_turned_off(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, _content()[:2], likert=False, flags=()) as round_:
        with a_person(browser) as person:
            person.open(round_.invite())
            person.task(1)
            page = person.page

            def pressed(key: str, code: str) -> None:  # as an Arabic keyboard gives them
                init = json.dumps({"key": key, "code": code, "bubbles": True, "cancelable": True})
                page.evaluate(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {init}))")

            pressed("ت", "KeyJ")
            pressed("٢", "Digit2")
            assert page.locator("#outputs .state").nth(1).inner_text() == "Rank 2"
            pressed("س", "KeyS")
            assert page.locator("#skip").is_visible()
            person.press("Escape", "?")
            page.locator("#keys-on").uncheck()
            page.locator("#help [data-close]").click()
            person.press("s", "u", "?", "3")
            assert page.locator("dialog[open]").count() == 0
            assert page.locator("#outputs .state").nth(1).inner_text() == "Rank 2"
            page.reload()
            person.task(1)
            person.press("?")
            assert page.locator("dialog[open]").count() == 0  # it stays off


def test_a_task_is_skipped_with_a_reason_and_an_answer_taken_back(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, _content()[:3], likert=False, flags=()) as round_:
        with a_person(browser) as person:
            person.open(round_.invite())
            person.task(1)
            page = person.page
            person.press("s", "Enter")
            assert page.locator("#skip").is_visible()  # a reason is needed
            person.press("2", "Enter")
            person.task(2)
            texts = person.outputs()
            ranks = [1 + place % 2 for place in range(len(texts))]
            person.rank(*ranks)
            person.press("Enter")
            person.task(3)
            person.press("u")
            person.task(2)
            assert person.outputs() == texts
            states = page.locator("#outputs .state").all_inner_texts()
            assert states == [f"Rank {rank}" for rank in ranks]
            person.press("2", "Enter")
            person.task(3)
            assert person.pointers == 0
        skipped, corrected = sorted(round_.judgments, key=lambda j: j.event)
        assert skipped.answer.skipped == "unclear"
        assert [corrected.answer.ranks[i] for i in corrected.order] == [2, *ranks[1:]]


def test_a_better_response_is_written(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, _content()[:1], likert=False, flags=()) as round_:
        with a_person(browser) as person:
            person.open(round_.invite())
            person.task(1)
            page = person.page
            page.locator("#open-better").focus()
            person.press("Enter")
            assert page.evaluate("document.activeElement.id") == "better"
            page.keyboard.type("Paris, in France.")
            person.press("Control+Enter")
            page.wait_for_url("**/done")
        answer = round_.judgments[0].answer
        assert answer.written == "Paris, in France."
        assert set(answer.ranks) == {None}
