"""Tests of how a round is served, and of worked examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from people.server.sites import SECRET
from preflab.errors import UserError
from preflab.records import Message, Prompt, to_json
from preflab_people.judgments import Answer
from preflab_people.server.settings import Example, ServerSettings, read_examples


@pytest.mark.parametrize(
    "url, scheme, names",
    [
        ("", "http", ()),
        ("https://label.example.org", "https", ("label.example.org",)),
        ("https://label.example.org:8443/", "https", ("label.example.org",)),
        ("http://lab.local:8787", "http", ("lab.local",)),
    ],
)
def test_the_public_address(url: str, scheme: str, names: tuple[str, ...]) -> None:
    settings = ServerSettings(SECRET, public_url=url)
    assert (settings.scheme, settings.names) == (scheme, names)


@pytest.mark.parametrize(
    "url",
    [
        "label.example.org",
        "ftp://a.b",
        "https://",
        "https://a.b/path",
        "https://u@a.b",
        "https://a?x",
    ],
)
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="no address of a server"):
        ServerSettings(SECRET, public_url=url)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(UserError, match="32 characters"):
        ServerSettings("short")


def test_worked_examples_are_read(tmp_path: Path) -> None:
    talk = Prompt("p", "user: Hi", messages=(Message("user", "Hi"),))
    rows = [
        {"prompt": "Name a fruit.", "responses": ["Apple.", "Car."], "ranks": [1, 2]},
        {
            "prompt": to_json(talk),
            "responses": ["a", "b"],
            "ranks": [1, 1],
            "written": "c",
            "reason": "*Equal*.",
        },
    ]
    path = tmp_path / "examples.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    assert read_examples(path) == (
        Example(Prompt("", "Name a fruit."), ("Apple.", "Car."), Answer(ranks=(1, 2))),
        Example(talk, ("a", "b"), Answer(ranks=(1, 1), written="c"), "*Equal*."),
    )


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "3",
        '{"prompt": "p", "responses": ["a"]}',
        '{"prompt": "p", "responses": ["a", "b"], "ranks": [1]}',
        '{"prompt": "p", "responses": ["a"], "ranks": [null]}',
        '{"prompt": "p", "responses": ["a"], "ranks": [1], "why": "x"}',
    ],
)
def test_a_line_that_is_no_example_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text(f"\n{line}")
    with pytest.raises(UserError, match=r"examples\.jsonl:2 is no worked example"):
        read_examples(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_examples(tmp_path / "none")
