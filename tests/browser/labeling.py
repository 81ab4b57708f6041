"""A round, its server in a process of its own, and people with real browsers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from people.server.processes import Serving
from people.server.sites import ranking
from preflab.records import Message, Prompt
from preflab_people.judgments import FLAGS, Judgment, Task, task_id
from preflab_people.server.serving import link
from preflab_people.store import RoundSettings, Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

DESKTOP, PHONE = (1280, 900), (360, 740)
NOTES = (
    "Dear Sam,\n\nthank you so much for covering my shift on Tuesday, and at such short notice. I "
    "know that it cost you your evening. Tell me when you need a day off.\n\nBest wishes,\nAlex",
    "Thanks for covering.",
    "Dear colleague, I am writing to express my deepest gratitude for your willingness to take "
    "over the shift. Your dedication is an inspiration. Thank you. Thank you. Thank you.",
    "A thank-you note is a short letter. Would you like to know more about the history of letters?",
)
COUNTING = """
window.pointers = 0;
for (const type of ["mousedown", "mousemove", "pointerdown", "pointermove", "touchstart", "wheel"])
  addEventListener(type, (event) => event.isTrusted && window.pointers++, {capture: true});
"""
"""Counts what a hand at a mouse or a screen does."""


def tasks() -> list[Task]:
    """One of each kind of prompt: plain, a conversation, sensitive, from right to left, hidden
    characters."""
    talk = (
        Message("system", "You are a patient tutor. Never give the answer away at once."),
        Message("user", "What is 17 times 24?"),
        Message("assistant", "Let us split 24 into 20 and 4. What is 17 times 20?"),
        Message("user", "340. And now?"),
    )
    arabic = "اكتب رسالة شكر قصيرة إلى زميل."
    prompts = [
        Prompt("1", "Write a short thank-you note to a colleague who covered my shift."),
        Prompt("2", "", messages=talk),
        Prompt("3", "How do I talk to a friend who hurts themselves?", tags=("sensitive",)),
        Prompt("4", arabic, tags=("lang:ar",)),
        Prompt("5", "Summarize: the cat\u200b sat \u202eon the mat\x07."),
    ]
    texts = [
        NOTES,
        ("Now 17 times 4. What is that?", "408.", "Great! 17 × 4 = 68. Can you add them?"),
        ("Listen first, and do not judge.", "Tell them to stop.", "Ask whether they are safe now."),
        ("شكرًا جزيلًا لك على مساعدتك اليوم.", "Thanks.", "شكرًا."),
        ("The cat sat.", "<b>The mat.</b>", "a\0b \u202eevil\u202c"),
    ]
    return [ranking(p.id, t, prompt=p) for p, t in zip(prompts, texts, strict=True)]


def writing() -> list[Task]:
    """Tasks to write a response."""
    prompts = [Prompt(f"w{n}", f"Write a poem about the number {n}.") for n in range(2)]
    return [Task(task_id("demonstrate", p, ()), "demonstrate", p) for p in prompts]


@dataclass
class Round:
    """A served round."""

    server: Serving
    store: Store
    tokens: dict[str, str] = field(default_factory=dict)

    def invite(self, **values: Any) -> str:
        """The link of one more person."""
        invited = self.store.invite(**values, now=0.0)
        self.tokens[invited.labeler] = invited.token
        return link(self.server.base, invited.token)

    @property
    def judgments(self) -> tuple[Judgment, ...]:
        """The valid answers."""
        return self.store.snapshot().judgments


@contextmanager
def a_round(folder: Path, content: Sequence[Task], **changes: Any) -> Iterator[Round]:
    """A new round with a server. changes: of its settings; flags and ratings are asked for."""
    usual: dict[str, Any] = {"name": "spring", "kind": "rank", "flags": FLAGS, "likert": True}
    quiet = {"gold_share": 0.0, "retest_share": 0.0}
    store = Store.create(
        folder / "store.sqlite", RoundSettings(**{**usual, **quiet, **changes}), content, now=0.0
    )
    with store, Serving(folder / "store.sqlite") as server:
        yield Round(server, store)


@dataclass
class Person:
    """A browser with one page, and all that went through it."""

    page: Page
    context: BrowserContext
    problems: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def open(self, address: str) -> None:
        """Open a link, and wait for the page behind it."""
        self.page.goto(address)
        if "#" in address:
            self.page.wait_for_url(re.compile(r"/(task|consent|instructions|done|screening)$"))

    def task(self, number: int) -> None:
        """Wait until a task is on the page."""
        self.page.locator("#number", has_text=re.compile(rf"\b{number}\b")).wait_for()
        self.page.locator("#outputs > *, #write-part:not([hidden])").first.wait_for()

    def press(self, *keys: str) -> None:
        """Press keys."""
        for key in keys:
            self.page.keyboard.press(key)

    def rank(self, *ranks: int) -> None:
        """Give the outputs their ranks, from the first one on, by keys."""
        self.press(*"k" * len(ranks))
        for rank in ranks:
            self.press(str(rank), "j")

    def outputs(self) -> list[str]:
        """The texts as they are ranked, by place."""
        texts: list[str] = self.page.locator("#outputs .text").all_inner_texts()
        return texts

    def saved(self) -> None:
        """Wait until the draft is on the server."""
        self.page.locator("#saved", has_text="Draft saved").wait_for()

    @property
    def pointers(self) -> int:
        """Events of a mouse, pen or finger on this page."""
        return int(self.page.evaluate("window.pointers"))

    def shot(self, name: str, whole: bool = False) -> None:
        """A picture for people to look at, and a check that the page does not scroll sideways."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} scrolls sideways by {wide} pixels"
        folder = os.environ.get("PREFLAB_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"label-{name}.png", full_page=whole)


@contextmanager
def a_person(
    browser: Browser, size: tuple[int, int] = DESKTOP, trusting: bool = False, **options: Any
) -> Iterator[Person]:
    """A browser window. trusting: without the pages' content security policy. options: of
    Playwright's contexts."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, bypass_csp=trusting, **options
    )
    context.add_init_script(COUNTING)
    person = Person(context.new_page(), context)
    watch(person, person.page)
    try:
        yield person
    finally:
        context.close()


def watch(person: Person, page: Page) -> None:
    """Note what goes wrong on a page, and what it asks for."""
    page.set_default_timeout(20_000)  # other work may have the processors

    def line(message: Any) -> None:
        if message.type in ("error", "warning"):
            person.problems.append(message.text)

    def dismiss(dialog: Any) -> None:
        person.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("console", line)
    page.on("pageerror", lambda error: person.problems.append(str(error)))
    page.on("dialog", dismiss)
    page.on("request", lambda request: person.requests.append((request.url, request.headers)))


def write_examples(folder: Path) -> None:
    """Worked examples for the server of a round in this folder."""
    row = {
        "prompt": "Write a short thank-you note to a colleague who covered my shift.",
        "responses": NOTES[:3],
        "ranks": [1, 3, 2],
        "reason": "The first note says *what for*. The second is short to the point of rudeness.",
    }
    (folder / "examples.jsonl").write_text(json.dumps(row))
