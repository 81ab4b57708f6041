"""What people and models wrote stays text in a real browser, with the pages' content security
policy and without it; a link's token stays between the person and the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.labeling import a_person, a_round
from people.server.corpus import HIDDEN, SCRIPTS, TEXTS
from people.server.sites import ranking
from preflab.records import Message, Prompt

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
EVERYTHING = "\n".join(TEXTS)


@pytest.mark.parametrize("trusting", [False, True], ids=["with policy", "without policy"])
def test_the_corpus_does_nothing_in_a_browser(
    browser: Browser, tmp_path: Path, trusting: bool
) -> None:
    talk = tuple(Message(role, EVERYTHING) for role in ("system", "user", SCRIPTS[0]))
    prompt = Prompt("p", EVERYTHING, tags=(f"lang:{SCRIPTS[2]}",), messages=talk)
    content = [ranking("p", list(TEXTS), prompt=prompt)]
    changes = {
        "name": SCRIPTS[2],
        "flags": SCRIPTS[:3],
        "likert": True,
        "skip_reasons": SCRIPTS[:2],
        "consent": "\n\n".join(SCRIPTS),
    }
    with a_round(tmp_path, content, **changes) as round_:
        round_.store.add_instructions("\n\n".join(SCRIPTS), now=0.0)
        (tmp_path / "examples.jsonl").unlink(missing_ok=True)
        with a_person(browser, trusting=trusting) as person:
            page = person.page
            person.open(round_.invite(group=SCRIPTS[0]))
            page.locator("#text p").first.wait_for()
            assert page.locator("#text script, #text img, #text iframe").count() == 0
            page.locator("#agree").click()
            page.wait_for_url("**/survey")
            page.goto(f"{round_.server.base}/task")
            person.task(1)
            person.press("s")
            assert page.locator("#reasons label").first.inner_text().startswith(SCRIPTS[0])
            person.press("Escape")
            for _ in TEXTS:
                assert page.locator("#outputs .check").first.inner_text().startswith(SCRIPTS[0])
                person.press("4", "Enter")
            page.locator("#board li").first.wait_for()
            page.locator("#notes").fill(EVERYTHING.replace("\0", "")[:4000])
            page.locator("#open-better").click()
            page.locator("#better").fill(EVERYTHING)
            page.locator("#saved", has_text="Draft saved").wait_for()
            page.reload()
            person.task(1)
            assert len(person.outputs()) == len(TEXTS)
            main = page.locator("main")
            assert main.locator("script, img, iframe, object, embed, svg, base, form").count() == 0
            assert page.locator("[onerror], [onload], [onfocus], [style*=java]").count() == 0
            assert page.get_by_text(SCRIPTS[0], exact=True).first.is_visible()
            assert page.evaluate("window.harmed") is None
            assert person.dialogs == []
            assert person.problems == []
            outside = [url for url, _ in person.requests if not url.startswith(round_.server.base)]
            assert outside == []


def test_the_check_can_fail(browser: Browser, tmp_path: Path) -> None:
    with a_person(browser, trusting=True) as person:
        (tmp_path / "x.html").write_text(f"<!doctype html><title>x</title>{SCRIPTS[0]}")
        person.page.goto((tmp_path / "x.html").as_uri())
        assert person.page.evaluate("window.harmed") == 1


def test_html_in_a_script_of_the_page_would_be_an_error(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, [ranking("p", ["a", "b"])]) as round_, a_person(browser) as person:
        person.page.goto(round_.server.base)
        said = person.page.evaluate(
            "(() => { try { document.body.innerHTML = '<b>'; return 'done' }"
            " catch (error) { return error.name } })()"
        )
        assert said == "TypeError"


def test_hidden_characters_are_seen_and_turn_nothing_around(
    browser: Browser, tmp_path: Path
) -> None:
    with a_round(tmp_path, [ranking("p", ["a", "b"])]) as round_, a_person(browser) as person:
        person.page.goto(round_.server.base)
        cases = {
            "plain\ttext\nline": "plain\ttext\nline",
            "a\r\nb": "a\nb",
            "a\0b\x07": "a[U+0000]b[U+0007]",
            "\u202eevil\u202c": "[U+202E]evil[U+202C]",
            "a\u200bb\u00ad\ufeff": "a[U+200B]b[U+00AD][U+FEFF]",
            "\u2066x\u2069\u200f": "[U+2066]x[U+2069][U+200F]",
            "tag \U000e0041": "tag [U+E0041]",
            "a\u2028b": "a[U+2028]\nb",
            "lone \ud800 surrogate": "lone [U+D800] surrogate",
            "a\u200db": "a[U+200D]b",
            "👩\u200d🔬 نمی\u200cخواهم क्\u200dष": "👩\u200d🔬 نمی\u200cخواهم क्\u200dष",
        }
        for text, seen in cases.items():
            escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in text)
            shown = person.page.evaluate(
                f"""import("/static/text.js").then((m) => m.parts("{escaped}")
                    .map((part) => part.code ? `[${{part.code}}]` : part.text).join(""))"""
            )
            assert shown == seen, ascii(text)
        assert all(text for text in HIDDEN)


def test_the_token_is_in_no_address_referer_or_history(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, [ranking("p", ["a", "b"])], likert=False, flags=()) as round_:
        with a_person(browser) as person:
            page = person.page
            page.goto("about:blank")
            person.open(round_.invite())
            person.task(1)
            (token,) = round_.tokens.values()
            assert token not in page.url
            page.go_back()
            assert token not in page.url
            page.goto(f"{round_.server.base}/task")
            person.task(1)
            for url, headers in person.requests:
                assert token not in url.partition("#")[0]
                assert not headers.get("referer")
            stored = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
            assert token not in page.evaluate(stored)
            (cookie,) = [c for c in person.context.cookies() if "preflab" in c["name"]]
            assert cookie["httpOnly"]
            assert cookie["sameSite"] == "Strict"
            assert cookie["name"] not in page.evaluate("document.cookie")
        assert token not in (tmp_path / "server.log").read_text()


def test_a_link_that_is_not_valid_says_so(browser: Browser, tmp_path: Path) -> None:
    with a_round(tmp_path, [ranking("p", ["a", "b"])]) as round_, a_person(browser) as person:
        person.page.goto(f"{round_.server.base}/#{'x' * 22}")
        person.page.locator("#state", has_text="This link is not valid").wait_for()
        assert person.page.url == f"{round_.server.base}/"
        person.page.goto(f"{round_.server.base}/task")
        person.page.wait_for_url(re.compile(r":\d+/$"))


def test_a_link_from_a_mail_signs_in_though_the_cookie_is_strict(
    browser: Browser, tmp_path: Path
) -> None:
    """Another site leads here: the first request has no cookie, and none is needed."""
    with a_round(tmp_path, [ranking("p", ["a", "b"])], likert=False, flags=()) as round_:
        with a_person(browser) as person:
            link = round_.invite()
            person.open(link)
            person.task(1)
            mail = f"<a href='{link}'>link</a><a href='{round_.server.base}/task'>task</a>"
            for number in (0, 1):
                person.page.route(
                    "http://mail.example/",
                    lambda route: route.fulfill(body=mail, content_type="text/html"),
                )
                person.page.goto("http://mail.example/")
                person.page.locator("a").nth(number).click()
                person.page.wait_for_url("**/task")
                person.task(1)
