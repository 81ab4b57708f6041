"""Tests of the shells of pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from people.server.sites import a_site, three
from preflab.errors import UserError
from preflab_people.server.pages import PAGES

ALL: dict[str, Any] = {"languages": ("en", "de", "ar")}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_a_shell_in_the_persons_language(tmp_path: Path, path: str) -> None:
    with a_site(tmp_path, three(1), **ALL) as site:
        for language, direction in (("en", "ltr"), ("de", "ltr"), ("ar", "rtl")):
            response = site.client.get(path, headers={"accept-language": language})
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/html; charset=utf-8"
            assert f'<html lang="{language}" dir="{direction}">' in response.text
            assert f'src="/static/{PAGES[path]}.js"' in response.text
            for forbidden in ("<script>", " style=", " onclick=", "http://", "https://"):
                assert forbidden not in response.text


def test_the_choice_of_a_language_stays(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1), **ALL) as site:
        site.client.cookies.set("preflab-language", "ar")
        assert 'lang="ar"' in site.client.get("/", headers={"accept-language": "de"}).text
        assert '<select id="language">' in site.client.get("/").text


def test_a_round_in_one_language_offers_no_other(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        text = site.client.get("/task", headers={"accept-language": "de"}).text
        assert '<html lang="en"' in text
        assert '<select id="language">' not in text


def test_a_language_that_the_pages_do_not_speak_is_refused_at_the_start(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="do not speak 'tlh'"),
        a_site(tmp_path, three(1), languages=("tlh",)),
    ):
        pass


def test_addresses_that_there_are_not(tmp_path: Path) -> None:
    with a_site(tmp_path, three(1)) as site:
        assert site.client.get("/nothing").status_code == 404
        assert site.client.get("/api/nothing").json()["error"]["code"] == "missing"
        assert site.client.get("/api/submit").status_code == 405
