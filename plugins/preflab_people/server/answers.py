"""Answers of the server: JSON, and refusals by a code that the page has words for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


class Refused(Exception):
    """A request that is not answered. status: of HTTP; code: a word that the page translates;
    sentence: for whoever reads the answer as it is; wait: seconds until another try is worth it;
    field: of the body, if the reason is in one."""

    def __init__(
        self, status: int, code: str, sentence: str, wait: int = 0, field: str = ""
    ) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence, self.wait = status, code, sentence, wait
        self.field = field


class JSON(Response):
    """A JSON answer. Everything outside ASCII is escaped, so that a lone surrogate in a model's
    text is no error."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def error_response(refused: Refused) -> JSON:
    """A refusal as an answer."""
    headers: Mapping[str, str] = {"retry-after": str(refused.wait)} if refused.wait else {}
    body = {"error": {"code": refused.code, "message": refused.sentence}}
    return JSON(body, refused.status, headers)
