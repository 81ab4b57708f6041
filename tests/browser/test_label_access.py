"""Every page can be read and used by everybody: axe-core finds nothing, in light and dark, from
left to right and from right to left; small and zoomed pages do not scroll sideways; a screen
reader hears what happens; the focus goes where the work is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browser.labeling import (
    DESKTOP,
    PHONE,
    Person,
    Round,
    a_person,
    a_round,
    tasks,
    write_examples,
    writing,
)
from people.server.sites import ranking, three
from preflab_people.store import Screening

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
LANGUAGES = ("en", "de", "ar")
CONSENT = """# What this is

You compare texts that computers wrote. We keep **your answers** under a pseudonym.

- You may stop at any time.
- You may ask us to forget you; rounds that were frozen before stay as they are.
"""
INSTRUCTIONS = """# How to judge

Put first what *helps* the user most.

1. **Helpful**: it follows the instruction.
2. **Truthful**: it makes nothing up.

Equally good outputs get the same rank. See [the paper](https://arxiv.org/abs/2203.02155).

| case | what to do |
|---|---|
| not your language | skip it |
"""
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    folder = tmp_path_factory.mktemp("round")
    write_examples(folder)
    changes = {"consent": CONSENT, "languages": LANGUAGES}
    plain = [task for task in tasks() if "sensitive" not in task.prompt.tags]
    with a_round(folder, [*plain, *three(60)], **changes) as made:
        made.store.add_instructions(INSTRUCTIONS, now=0.0)
        yield made


def _violations(person: Person) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    # At its end the bar at the bottom of the window has its own place and covers nothing.
    person.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    options = {"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]}
    found = Axe().run(person.page, options=options).response["violations"]
    return [f"{v['id']}: {[node['html'][:150] for node in v['nodes']]}" for v in found]


def _walk(person: Person, round_: Round, look: Callable[[str], None]) -> None:
    """Go through all pages of a round as a new person, and look at each."""
    page = person.page
    page.goto(f"{round_.server.base}/")
    page.wait_for_load_state("networkidle")
    look("start")
    person.problems.clear()  # Chromium notes that nobody was signed in
    person.open(round_.invite())
    page.locator("#text h2").wait_for()
    look("consent")
    page.locator("#agree").click()
    page.wait_for_url("**/survey")
    page.locator("#person:not(:empty)").wait_for(state="attached")
    look("survey")
    page.locator("#skip").click()
    page.locator("#text h2").wait_for()
    look("instructions")
    page.locator("#go-on").click()
    page.wait_for_url("**/calibration")
    for place, rank in ((0, 1), (1, 2), (2, 2)):
        page.locator("#examples article").nth(place).get_by_role("radio").nth(rank - 1).check()
    page.locator("#examples button").last.click()
    look("calibration")
    page.locator("#go-on").click()
    person.task(1)
    look("rate")
    page.keyboard.press("?")
    look("help")
    person.press("Escape")
    for _ in range(page.locator("#steps li").count() - 1):
        person.press("6", "q", "Enter")
    page.locator("#board li").first.wait_for()
    person.press("1", "j", "3")
    look("rank")
    person.press("Enter")
    page.locator("#problem").wait_for()
    look("missing")
    person.press("s")
    look("skip")
    person.press("Escape")
    page.locator("#open-better").click()
    look("better")


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_on_any_page(
    browser: Browser, round_: Round, size: tuple[int, int], scheme: str, language: str
) -> None:
    found: dict[str, list[str]] = {}
    name = "desktop" if size == DESKTOP else "phone"
    options: dict[str, Any] = {"color_scheme": scheme, "locale": language}
    options["reduced_motion"] = "reduce"
    with a_person(browser, size, is_mobile=size == PHONE, **options) as person:

        def look(page: str) -> None:
            person.shot(f"{page}-{name}-{scheme}-{language}", whole=page not in ("help", "skip"))
            if violations := _violations(person):
                found[page] = violations

        _walk(person, round_, look)
        assert person.problems == []
    assert found == {}


def test_axe_can_fail(browser: Browser, round_: Round) -> None:
    with a_person(browser) as person:
        person.page.goto(f"{round_.server.base}/")
        person.page.evaluate("document.querySelector('html').removeAttribute('lang')")
        assert any("html-has-lang" in violation for violation in _violations(person))


@pytest.mark.parametrize("width, height", [(640, 450), (320, 568)], ids=["200 %", "400 %"])
def test_a_page_that_is_zoomed_scrolls_in_one_direction(
    browser: Browser, round_: Round, width: int, height: int
) -> None:
    """A window of 1280 pixels at 200 and at 400 % has 640 and 320 of them."""
    with a_person(browser, (width, height), locale="de") as person:
        _walk(person, round_, lambda page: person.shot(f"{page}-{width}"))


def test_every_kind_of_task_fits_a_phone(browser: Browser, tmp_path: Path) -> None:
    long = "A".ljust(400, "a")  # one word
    nine = ranking("nine", [f"{n} {long if n == 3 else 'word ' * 60}" for n in range(9)])
    with a_round(tmp_path, [*tasks(), nine], likert=False, flags=(), languages=LANGUAGES) as round_:
        with a_person(browser, PHONE, is_mobile=True, has_touch=True) as person:
            person.open(round_.invite())
            for number in range(1, 7):
                person.task(number)
                if person.page.locator("#ask").is_visible():
                    person.shot("sensitive-phone")
                    person.page.locator("#veil-show").tap()
                person.shot(f"kind-{number}-phone", whole=True)
                assert _violations(person) == []
                person.press("s", "2", "Enter")
            person.page.wait_for_url("**/done")
            person.page.locator("#count", has_text="6").wait_for()
            person.shot("done-phone")
            assert _violations(person) == []


def test_writing_a_demonstration(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, writing(), kind="demonstrate", likert=False, flags=()) as round_:
        with a_person(browser) as person, a_person(browser, PHONE, color_scheme="dark") as small:
            person.open(round_.invite())
            person.task(1)
            person.press("Enter")
            assert person.page.locator("#problem").inner_text().strip() == "Write a response first."
            person.page.keyboard.type("Roses are red.\nTwo are blue.")
            person.shot("write-desktop")
            assert _violations(person) == []
            small.open(round_.invite())
            small.task(1)
            small.shot("write-phone")
            assert _violations(small) == []
            person.press("Control+Enter")
            person.page.wait_for_url("**/done")
        assert round_.judgments[0].answer.written == "Roses are red.\nTwo are blue."


def test_the_screening_says_how_it_went(browser: Browser, tmp_path: Path) -> None:
    tried = [ranking(f"s{n}", ["0 good", f"1 bad {n}"], "screening") for n in range(4)]
    rules = Screening(tasks=2, cut=0.75, tries=2)
    content = [*tried, *three(2)]
    with a_round(tmp_path, content, likert=False, flags=(), screening=rules) as round_:
        round_.store.add_instructions(INSTRUCTIONS, now=0.0)
        with a_person(browser) as person:
            page = person.page
            person.open(round_.invite())
            page.locator("#go-on").click()
            page.wait_for_url("**/screening")
            page.locator("#state", has_text="you label 2 tasks").wait_for()
            person.shot("screening-begin")
            for verdict in ("bad", "good"):
                page.locator("#go-on").click()
                for _ in range(2):
                    page.locator("#outputs article").first.wait_for()
                    number = page.locator("#number").inner_text()
                    person.rank(*(1 if verdict in text else 2 for text in person.outputs()))
                    person.press("Enter")
                    page.locator(f"#number:has-text('{number}')").wait_for(state="hidden")
                page.wait_for_url("**/screening")
                page.locator("#tries li").last.wait_for()
                person.shot(f"screening-{verdict}")
                assert _violations(person) == []
            results = page.locator("#tries li").all_inner_texts()
            assert [r.split(",")[0] for r in results] == ["Try 1: not passed", "Try 2: passed"]
            page.locator("#go-on").click()
            person.task(5)
            assert person.problems == []


def test_a_screen_reader_hears_what_happens(browser: Browser, round_: Round) -> None:
    with a_person(browser) as person:
        page = person.page
        person.open(round_.invite())
        page.locator("#agree").click()
        page.wait_for_url("**/survey")
        page.goto(f"{round_.server.base}/task")
        person.task(1)
        status = page.locator("#status")
        page.locator("#status", has_text="Task 1").wait_for(state="attached")
        assert page.evaluate("document.activeElement.id") == "number"
        quality = page.get_by_role("group", name="Overall quality of output A")
        assert quality.get_by_role("radio", name="7", exact=True).count() == 1
        count = page.locator("#steps li").count() - 1
        for _ in range(count):
            person.press("4", "Enter")
        assert page.evaluate("document.activeElement.id") == "what"
        group = page.get_by_role("group", name="Rank of output B")
        group.get_by_role("radio", name="2", exact=True).check()
        page.locator("#status", has_text="Output B: Rank 2").wait_for(state="attached")
        assert status.get_attribute("role") == "status"
        assert page.locator("#alert").get_attribute("role") == "alert"
        board = page.get_by_role("group", name="Ranks so far").get_by_role("listitem")
        assert board.nth(1).inner_text().split() == ["Rank", "2", "2", "B"]


def test_the_focus_goes_from_the_prompt_over_the_outputs_to_the_buttons(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, three(1), likert=False, flags=()) as round_, a_person(browser) as person:
        person.open(round_.invite())
        person.task(1)
        name = """(() => { const e = document.activeElement;
            return e.id || e.name || e.getAttribute("aria-label") || e.tagName })()"""
        seen = []
        for _ in range(9):
            person.press("Tab")
            seen.append(person.page.evaluate(name))
        assert seen == [
            *(
                "Prompt and instructions",
                "output-0-rank",
                "output-1-rank",
                "output-2-rank",
                "open-better",
                "notes",
            ),
            *("submit", "open-skip", "undo"),
        ]
        person.page.goto(f"{round_.server.base}/instructions")
        person.page.locator("#text:not(:empty)").wait_for()
        person.press("Tab")
        assert person.page.evaluate("document.activeElement.className") == "skip-link"
        person.press("Enter")
        assert person.page.evaluate("document.activeElement.id") == "main"


def test_a_sensitive_task_is_hidden_from_eyes_and_screen_readers_until_asked_for(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, [tasks()[2]], likert=False, flags=()) as round_:
        with a_person(browser) as person:
            page = person.page
            person.open(round_.invite())
            page.locator("#ask").wait_for()
            person.shot("sensitive-desktop")
            assert _violations(person) == []
            assert page.locator("#veiled").evaluate("e => e.inert")
            assert "blur" in page.locator("#veiled").evaluate("e => getComputedStyle(e).filter")
            person.press("1", "j")  # keys of what is hidden do nothing
            person.press("Enter")  # the focus is on the button
            assert not page.locator("#veiled").evaluate("e => e.inert")
            assert page.locator("#veiled").evaluate("e => getComputedStyle(e).filter") == "none"
            person.rank(1, 1, 1)
            person.press("Enter")
            page.wait_for_url("**/done")
            assert person.pointers == 0
