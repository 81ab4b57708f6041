"""Tests of the gate before everything: hosts, origins, sizes, headers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from people.server.sites import HOST, ORIGIN, OWN, Site, a_site, three
from preflab.errors import UserError
from preflab_people.server import rules
from preflab_people.server.answers import Refused
from preflab_people.server.rules import (
    HEADERS,
    MOST_BYTES,
    allowed_hosts,
    host_name,
    is_loopback,
)
from preflab_people.store import schema


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(tmp_path_factory.mktemp("site"), three(1)) as made:
        made.login()
        yield made


FORGED = {
    "no origin": {"x-preflab": "1"},
    "a null origin": {**OWN, "origin": "null"},
    "another origin": {**OWN, "origin": "https://evil.example"},
    "another port": {**OWN, "origin": "http://127.0.0.1:9999"},
    "another scheme": {**OWN, "origin": f"https://{HOST}"},
    "an origin that begins alike": {**OWN, "origin": f"{ORIGIN}.evil.example"},
    "no header of ours": {"origin": ORIGIN},
    "another value of it": {**OWN, "x-preflab": "0"},
    "a host that was bound anew": {**OWN, "host": "evil.example:8787"},
    "a host with a user": {**OWN, "host": "127.0.0.1@evil.example"},
    "no host": {**OWN, "host": ""},
    "said to be cross-site": {**OWN, "sec-fetch-site": "cross-site"},
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_request_is_refused_before_anything_is_done(site: Site, case: str) -> None:
    before = site.store.progress()
    given = site.task()
    body = site.submission(given)
    response = site.post("submit", body, FORGED[case])
    assert response.status_code in (403, 421)
    assert response.json()["error"]["code"] in ("origin", "header", "host")
    assert site.store.progress() == before


def test_a_page_of_another_site_cannot_take_a_task(site: Site) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    for where in ("cross-site", "same-site"):  # another port of this machine is the same site
        assert site.client.get("/api/me", headers={"sec-fetch-site": where}).status_code == 403
        assert site.post("task", headers={**OWN, "sec-fetch-site": where}).status_code == 403
    assert site.client.get("/", headers=headers).status_code == 200  # a link in a mail
    assert site.client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_reading_changes_nothing(tmp_path: Path) -> None:
    """Another site can make a browser read: an image, a link. All addresses, as a person."""
    with a_site(tmp_path, three(2), {"survey": tmp_path / "survey.jsonl"}, consent="Text") as site:
        site.login()
        site.post("consent", {"version": 1})
        before = _all_rows(site)
        app = site.client.app.app  # type: ignore[attr-defined]
        paths = [route.path for route in app.routes]
        assert {"/", "/task", "/api/me", "/api/task", "/api/submit"} <= set(paths)
        for path in paths:
            for method in ("GET", "HEAD"):
                assert site.client.request(method, path).status_code < 500
        assert _all_rows(site) == before
    assert not (tmp_path / "survey.jsonl").exists()


def _all_rows(site: Site) -> list[object]:
    """Everything in the store."""
    with site.store._database.reading() as connection:
        tables = schema.metadata.sorted_tables
        return [tuple(row) for table in tables for row in connection.execute(select(table))]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_read(site: Site, kind: str) -> None:
    response = site.client.post("/api/undo", content=b"{}", headers={**OWN, "content-type": kind})
    assert (response.status_code, response.json()["error"]["code"]) == (415, "content_type")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    response = site.client.request(method, "/api/submit", headers=OWN)
    assert response.status_code == 405
    assert "access-control-allow-origin" not in response.headers


def test_a_long_body_is_refused_whether_its_length_is_said_or_not(site: Site) -> None:
    headers = {**OWN, "content-type": "application/json"}
    said = site.client.post("/api/draft", content=b"x" * 1_000_000, headers=headers)
    parts = (b"x" * 10_000 for _ in range(100))
    streamed = site.client.post("/api/draft", content=parts, headers=headers)
    for response in (said, streamed):
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    fits = b'{"task":"t"}'.ljust(MOST_BYTES)
    assert site.client.post("/api/renew", content=fits, headers=headers).status_code == 409


@pytest.mark.parametrize(
    "path, keeping",
    [
        ("/", "no-store"),
        ("/task", "no-store"),
        ("/api/me", "no-store"),
        ("/api/nothing", "no-store"),
        ("/nothing", "no-store"),
        ("/static/task.js", "no-cache"),
    ],
)
def test_every_answer_has_the_headers(site: Site, path: str, keeping: str) -> None:
    response = site.client.get(path)
    for name, value in HEADERS.items():
        assert response.headers[name] == value
    assert response.headers["cache-control"] == keeping
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "server" not in response.headers


def test_names_of_hosts() -> None:
    assert [
        host_name(h) for h in ("a.b:80", "[::1]", "A", "a b", "a:b", "a:123456", "[::1", "")
    ] == [*("a.b", "::1", "a", "", "", "", "", "")]
    # An address has one name however it is written; what is none allows nobody.
    assert [host_name(h) for h in ("[0:0:0::1]:80", "[2001:DB8:0::1]", "[:::]", "[1.2.3.4]")] == [
        *("::1", "2001:db8::1", "", "")
    ]
    assert {"2001:db8::1", "2001:db8::2"} <= allowed_hosts(["2001:DB8::1", "[2001:db8:0::2]:80"])
    names = ("127.0.0.1", "::1", "localhost", "127.9.9.9", "0.0.0.0", "::", "", "example.org")
    assert [is_loopback(n) for n in names] == [True] * 4 + [False] * 4


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte in every 0.01 s would keep its connection for ever."""
    monkeypatch.setattr(rules, "BODY_SECONDS", 0.1)

    async def slowly() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(Refused, match="The body took more than") as refused:
        asyncio.run(rules.read_body(slowly, 10_000))
    assert refused.value.status == 408


def test_behind_a_proxy_the_public_name_and_https_are_needed(tmp_path: Path) -> None:
    public = "https://label.example.org"
    with a_site(tmp_path, three(1), {"public_url": public}, base_url=public) as site:
        token = {"token": site.invite().token}
        plain = {**OWN, "origin": "http://label.example.org"}
        assert site.post("login", token, plain).status_code == 403
        response = site.post("login", token, {**OWN, "origin": public})
        assert response.status_code == 200
        cookie = response.headers["set-cookie"]
        assert cookie.startswith("__Host-preflab-")
        assert "; Secure" in cookie
        # A proxy that puts its own name into the header Host is told so.
        wrong = site.post("login", token, {**OWN, "origin": public, "host": "127.0.0.1:8787"})
        assert "Host" in wrong.json()["error"]["message"]


def test_a_name_that_would_allow_nobody_is_refused() -> None:
    assert {"a.org", "fd00::1"} <= allowed_hosts(["A.org:80", "fd00::1", ""])
    with pytest.raises(UserError, match=r"Did you mean 'a\.org'"):
        allowed_hosts(["https://a.org/"])
    with pytest.raises(UserError, match="'a b' is no name of a host"):
        allowed_hosts(["a b"])
