"""The security corpus: what was written to do harm stays text, and what was not given to a person
is not theirs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from people.server.corpus import SCRIPTS, TEXTS
from people.server.sites import Site, a_site, ranking, three
from preflab.records import Message, Prompt


def _harmful(count: int = 1) -> list[str]:
    return [f"{n} {text}" for n, text in enumerate(TEXTS[:count])]


def test_the_corpus_goes_through_prompt_output_note_and_group_unchanged(tmp_path: Path) -> None:
    tasks = [
        ranking(
            f"p{n}",
            [text, f"{text} again"],
            prompt=Prompt(f"p{n}", text, group=text, messages=(Message("user", text),)),
        )
        for n, text in enumerate(TEXTS)
    ]
    with a_site(tmp_path, tasks, {"submissions": 1000}) as site:
        site.login(site.invite(group=TEXTS[0]))
        for task, text in zip(tasks, TEXTS, strict=True):
            given = site.task()
            assert given["task"]["turns"] == [{"role": "user", "text": text}]
            assert sorted(given["task"]["outputs"]) == sorted(task.responses)
            body = site.submission(given, ranks=[1, 1], written=text, notes=text)
            assert site.post("submit", body).status_code == 200, text
        seen = site.store.snapshot()
    assert [j.answer.notes for j in seen.judgments] == list(TEXTS)
    assert [j.answer.written for j in seen.judgments] == list(TEXTS)
    assert seen.people[0].group == TEXTS[0]


def test_json_of_the_server_can_be_read_as_nothing_else(tmp_path: Path) -> None:
    tasks = [ranking("p", list(SCRIPTS[:5]))]
    with a_site(tmp_path, tasks) as site:
        site.login()
        response = site.post("task")
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.content.isascii()


def test_pages_hold_nothing_of_a_round(tmp_path: Path) -> None:
    """So there is nothing in them to escape."""
    name = "marked-name"
    with a_site(tmp_path, [ranking("p", list(SCRIPTS[:3]))], name=name) as site:
        person = site.invite(group="marked-group")
        site.login(person)
        for page in ("/", "/task", "/instructions", "/calibration", "/done", "/consent"):
            text = site.client.get(page).text
            for secret in (name, person.labeler, "marked-group", "harmed", person.token):
                assert secret not in text, page


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\udc00x"], ids=ascii)
def test_characters_that_no_database_holds_are_refused(tmp_path: Path, text: str) -> None:
    with a_site(tmp_path, three(1)) as site:
        site.login()
        given = site.task()
        for place in ({"notes": text}, {"written": text}):
            body = site.submission(given, ranks=[1, 2, 3], **place)
            response = site.client.post(
                "/api/submit",
                content=json.dumps(body),  # as \ud800: JSON can say what UTF-8 cannot
                headers={
                    "origin": "http://127.0.0.1:8787",
                    "x-preflab": "1",
                    "content-type": "application/json",
                },
            )
            assert (response.status_code, response.json()["error"]["code"]) == (422, "characters")


def test_a_lone_surrogate_of_a_model_reaches_the_page(tmp_path: Path) -> None:
    """A byte-level model may say one; the page makes it visible."""
    with a_site(tmp_path, [ranking("p", ["a\ud800", "b\0"])]) as site:
        site.login()
        assert set(site.task()["task"]["outputs"]) == {"a\ud800", "b\0"}


def test_what_belongs_to_others_is_refused(tmp_path: Path) -> None:
    with a_site(tmp_path, three(2)) as site:
        first, second = site.invite(), site.invite()
        site.login(first)
        given = site.task()
        draft = {"task": given["task"]["id"], "body": {"answer": {"notes": "mine"}}}
        assert site.post("draft", draft).status_code == 200
        site.login(second)
        assert site.task()["task"]["id"] != given["task"]["id"]
        assert site.task()["draft"] is None
        for path, body in [
            ("submit", site.submission(given)),
            ("draft", draft),
            ("renew", {"task": given["task"]["id"]}),
        ]:
            response = site.post(path, body)
            assert (response.status_code, response.json()["error"]["code"]) == (409, "not_yours")
        for name in ("0" * 16, "nothing", "%2e%2e"):
            body = {**site.submission(given), "task": name}
            assert site.post("submit", body).status_code in (409, 422)
        site.login(first)
        assert site.task()["draft"] == draft["body"]
        assert site.store.progress().done == 0


def test_no_log_holds_a_token_or_a_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with a_site(tmp_path, three(1)) as site:
        person = site.invite()
        site.post("login", {"token": "canary-of-a-wrong-token"})
        site.login(person)
        given = site.task()
        body = site.submission(given, ranks=[1, 2, 3], notes="canary-of-a-note")
        site.post("submit", body)
        site.store.dispose()
        (tmp_path / "store.sqlite").write_bytes(b"no database")
        assert site.post("task").status_code == 503
    out, err = capfd.readouterr()
    log = "\n".join([caplog.text, out, err])
    assert person.labeler in log  # it is a log
    for canary in (person.token, "canary"):
        assert canary not in log


def test_the_answer_to_a_broken_store_names_no_file(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        site.login()
        site.store.dispose()
        (tmp_path / "store.sqlite").write_bytes(b"no database")
        response = site.post("task")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "storage"
        assert tmp_path.name not in response.text
        assert "sqlite" not in response.text


def test_an_error_of_ours_says_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("secret of the inside")

    with a_site(tmp_path, three(1)) as site:
        site.login()
        monkeypatch.setattr(type(site.store), "next_task", broken)
        response = site.post("task")
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "server"
        assert "secret" not in response.text
        assert response.headers["cache-control"] == "no-store"


def test_files_outside_of_the_static_folder_are_not_served(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        for path in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "nothing.js", ""):
            assert site.client.get(f"/static/{path}").status_code == 404


def _people_see(site: Site) -> str:
    """All that a browser is sent over a whole round, one after another."""
    site.client.cookies.clear()
    said = [site.client.get("/api/me").text, site.post("login").text]
    said.append(json.dumps(site.login()))
    for path in ("me", "consent", "instructions", "examples"):
        said.append(json.dumps(site.get(path)))
    for _ in range(100):
        given = site.task()
        said.append(json.dumps(given))
        if given["next"] != "/task":
            break
        count = len(given["task"]["outputs"])
        body = site.submission(given, ranks=list(range(1, count + 1)))
        said.append(site.post("submit", body).text)
    said.append(site.post("undo").text)
    said += [site.client.get(page).text for page in ("/", "/task", "/done")]
    return "\n".join(said)


def test_a_browser_learns_no_arm_reward_origin_path_or_other_person(tmp_path: Path) -> None:
    secrets = {
        "arms": (("secretarm-ppo",), ("secretarm-sft",), ("secretarm-sft",)),
        "kind": "compare",
    }
    prompts = [
        Prompt(
            f"secretid-{n}",
            f"Name fruit {n}.",
            user="secretuser",
            group="secretgroup",
            notes={"secretreward": 0.7},
            place="/secretplace/file.jsonl:3",
        )
        for n in range(8)
    ]
    texts = [[f"a {n}", f"b {n}", f"c {n}"] for n in range(8)]
    tasks = [
        ranking(p.id, t, "gold" if n >= 5 else "normal", prompt=p, **secrets)
        for n, (p, t) in enumerate(zip(prompts, texts, strict=True))
    ]
    shares: dict[str, Any] = {
        "kind": "compare",
        "gold_share": 0.8,
        "retest_share": 0.2,
        "retest_after": 1,
    }
    with a_site(tmp_path, tasks, **shares) as site:
        other = site.invite(group="secretpeople")
        site.login(other)
        site.post("submit", site.submission(site.task(), ranks=[1, 1, 1], notes="secretnote"))
        seen = _people_see(site)
        origins = {task.origin for task in site.store.snapshot().tasks}
        judged = {j.task for j in site.store.snapshot().judgments}
    assert len(judged) > 5  # gold and retests were among them
    # Which special tasks a person gets follows from a hash of their pseudonym.
    assert {"normal", "gold"} <= origins
    assert "Name fruit" in seen
    for secret in ("secret", "gold", "retest", "reward", "origin", "expected", other.labeler):
        assert secret not in seen, secret
