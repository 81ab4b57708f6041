"""How a round is served. What is asked stands in the settings of the round, in its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from preflab.errors import UserError
from preflab.records import Prompt, prompt_from_json
from preflab_people.judgments import Answer, answer_from_json


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example: outputs with the researchers' answer and their reasons, in Markdown."""

    prompt: Prompt
    responses: tuple[str, ...]
    answer: Answer
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of the server.

    secret: signs the cookies; keep it with the round (`preflab_people.server.sessions`).
    public_url: how people reach the server, if a proxy is in front: https://label.example.org.
    hosts: further names that browsers may call it by. sensitive: tags of prompts that are blurred
    until asked for. examples: worked examples. survey: file that the answers of the voluntary
    survey go to; without one nobody is asked. logins, submissions: how many failed logins an
    address, and how many answers a person, may send a minute.
    """

    secret: str
    public_url: str = ""
    hosts: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ("sensitive",)
    examples: tuple[Example, ...] = ()
    survey: Path | None = None
    logins: int = 10
    submissions: int = 60

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise UserError("The secret that signs cookies needs at least 32 characters.")
        url = urlsplit(self.public_url)
        plain = url.scheme in ("http", "https") and url.hostname and url.path in ("", "/")
        if self.public_url and (not plain or url.query or url.fragment or url.username):
            raise UserError(
                f"{self.public_url!r} is no address of a server. Say it as https://NAME or "
                "https://NAME:PORT; pages are not served below a path."
            )

    @property
    def scheme(self) -> str:
        """http, or https if the proxy in front speaks TLS."""
        return urlsplit(self.public_url).scheme or "http"

    @property
    def names(self) -> tuple[str, ...]:
        """Names that were allowed, the public one first."""
        public = urlsplit(self.public_url).hostname
        return (*((public,) if public else ()), *self.hosts)


def read_examples(path: Path) -> tuple[Example, ...]:
    """Worked examples from JSON lines: {prompt, responses, ranks, likert, flags, written, reason};
    prompt: a text, or a prompt as records have it. Raises UserError with the line."""
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except OSError as error:
        raise UserError(f"The worked examples cannot be read: {error}") from error
    return tuple(_examples(path, lines))


def _examples(path: Path, lines: list[str]) -> Iterator[Example]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _example(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}:{number} is no worked example: {error}. A line has prompt, responses and "
                "ranks (1 the best, equal ranks are ties), and may have likert, flags, written and "
                "reason."
            ) from error


def _example(row: dict[str, Any]) -> Example:
    known = {"prompt", "responses", "ranks", "likert", "flags", "written", "reason"}
    if unknown := sorted(set(row) - known):
        raise ValueError(f"unknown field {unknown[0]!r}")
    prompt = row["prompt"]
    whole = {"text": prompt} if isinstance(prompt, str) else prompt
    made = prompt_from_json({"id": "", "tags": (), **whole})
    answer, responses = answer_from_json(row), tuple(row["responses"])
    if len(answer.ranks) != len(responses) or not all(type(r) is int for r in answer.ranks):
        raise ValueError(f"{len(responses)} responses need as many ranks")
    return Example(made, responses, answer, str(row.get("reason", "")))
