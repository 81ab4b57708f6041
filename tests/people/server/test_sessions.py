"""Tests of cookies and rate limits."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from itsdangerous import URLSafeTimedSerializer
from starlette.requests import Request

from people.server.sites import OWN, SECRET, a_site, three
from preflab_people.server.answers import Refused
from preflab_people.server.sessions import Limits, Sessions, stored_secret


def test_the_cookie_is_for_this_site_and_no_script(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        response = site.post("login", {"token": site.invite().token})
        cookie = response.headers["set-cookie"].lower()
        for part in ("httponly", "samesite=strict", "path=/", "max-age="):
            assert part in cookie
        assert "secure" not in cookie  # there is no TLS on this machine's own address
        assert "domain" not in cookie
        assert site.post("logout").status_code == 200
        assert site.client.get("/api/me").status_code == 401


def test_a_link_works_again_and_on_another_device(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        person = site.invite()
        assert site.login(person) == site.login(person)


@pytest.mark.parametrize("token", ["x" * 22, "", "' OR 1=1", None])
def test_a_token_that_is_nobodys_gives_no_cookie(tmp_path: Path, token: str | None) -> None:
    with a_site(tmp_path, three(1)) as site:
        response = site.post("login", {"token": token})
        assert response.status_code in (401, 422)
        assert "set-cookie" not in response.headers
        assert site.post("task").status_code == 401


def test_two_hundred_tries_are_ten_answers(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        tries = [site.post("login", {"token": f"{n:022}"}) for n in range(200)]
        codes = [response.status_code for response in tries]
        assert codes == [401] * 10 + [429] * 190
        assert 1 <= int(tries[-1].headers["retry-after"]) <= 60
        # A token that is somebody's tells nothing either, while the limit holds.
        assert site.post("login", {"token": site.invite().token}).status_code == 429


def test_good_logins_are_not_counted(tmp_path: Path) -> None:
    """A laboratory of forty people comes from one address."""
    with a_site(tmp_path, three(1)) as site:
        for _ in range(40):
            site.login()


def test_sixty_answers_a_minute_and_person(tmp_path: Path) -> None:
    with a_site(tmp_path, three(70)) as site:
        site.login()
        codes = []
        for _ in range(62):
            response = site.post("submit", site.submission(site.task()))
            codes.append(response.status_code)
        assert codes == [200] * 60 + [429] * 2
        site.login()  # somebody else
        assert site.post("submit", site.submission(site.task())).status_code == 200


def test_a_cookie_that_was_changed_or_made_elsewhere_is_none(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        first, second = site.invite(), site.invite()
        site.login(first)
        (name,) = [cookie.name for cookie in site.client.cookies.jar]
        (value,) = [cookie.value for cookie in site.client.cookies.jar]
        assert value is not None
        other = URLSafeTimedSerializer("another secret", salt="preflab label")
        no_text = URLSafeTimedSerializer(SECRET, salt="preflab label")
        said, _, signature = value.rpartition(".")
        # Not its last letter, some bits of which mean nothing.
        changed = ("a" if signature[0] != "a" else "b") + signature[1:]
        forged = [f"{said}.{changed}", other.dumps(second.labeler)]
        forged += [value.replace(value.split(".")[0], "ImxhYmVsZXItYWFhYSI"), "", "a.b.c"]
        forged += [no_text.dumps(first.labeler), no_text.dumps([first.labeler])]
        forged += [no_text.dumps([first.labeler, mark]) for mark in ("-", "", 1, None)]
        for cookie in forged:
            site.client.cookies.clear()
            response = site.client.get("/api/me", headers={"cookie": f"{name}={cookie}"})
            assert response.status_code == 401, cookie


def test_a_new_link_ends_what_was_begun_with_the_old_one(tmp_path: Path) -> None:
    """Whoever found a link has a cookie for 60 days: another link must shut them out."""
    with a_site(tmp_path, three(1)) as site:
        person = site.invite()
        site.login(person)
        assert site.task()["next"] == "/task"
        again = site.store.new_token(person.labeler, site.clock())
        for path in ("task", "submit", "draft", "undo", "renew", "consent", "survey"):
            assert site.post(path).status_code == 401
        assert site.client.get("/api/me").status_code == 401
        site.login(again)
        assert site.task()["next"] == "/task"


def test_who_was_forgotten_leaves_nothing_more(tmp_path: Path) -> None:
    survey = tmp_path / "survey.jsonl"
    with a_site(tmp_path, three(1), {"survey": survey}) as site:
        person = site.invite()
        site.login(person)
        site.store.forget(person.labeler, site.clock())
        answers = {"answers": {"age": "30"}, "link": True}
        assert site.post("survey", answers).status_code == 401
        assert site.client.get("/api/examples").status_code == 401
    assert not survey.exists()


def test_two_rounds_on_one_machine_have_two_cookies() -> None:
    assert Sessions("a" * 32).name != Sessions("b" * 32).name
    assert "a" * 32 not in Sessions("a" * 32).name
    request = Request({"type": "http", "headers": []})
    assert Sessions("a" * 32).read(request) == ("", "")


def test_the_secret_is_kept_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = stored_secret(path)
    assert len(secret) >= 32
    assert stored_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_limit_is_for_one_thing_and_one_person() -> None:
    limits = Limits(logins=2, submissions=1)
    limits.count("submit", "a")
    with pytest.raises(Refused) as refused:
        limits.count("submit", "a")
    assert (refused.value.status, refused.value.code) == (429, "too_fast")
    assert 1 <= refused.value.wait <= 60
    limits.count("submit", "b")
    limits.count("write", "a")
    limits.check("login", "a")  # looking counts nothing
    limits.check("login", "a")
    limits.check("login", "a")


def test_without_a_cookie_nothing_is_told(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        for path in ("me", "instructions", "examples", "consent"):
            assert site.client.get(f"/api/{path}").status_code == 401
        for path in ("task", "submit", "draft", "undo", "renew", "consent", "survey"):
            assert site.client.post(f"/api/{path}", json={}, headers=OWN).status_code == 401
