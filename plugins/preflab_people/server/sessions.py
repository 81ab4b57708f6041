"""Who is asking: a signed cookie that a link's token was exchanged for, and how often one may ask.

A cookie holds a pseudonym and a mark of the link that it was exchanged for, and nothing else. It is
readable by no script, is sent by no other site, and ends with the round's secret and with the link:
whether that is still the person's, and what they may do, is asked at every request.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.responses import Response

from preflab_people.server.answers import Refused

MAX_AGE = 60 * 24 * 3600
"""Seconds until a cookie must be exchanged anew; links stay valid."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Cookies of one round. secret: at least 32 characters, kept with the round, so that a
    restart signs nobody out. secure: browsers send the cookie over TLS alone."""

    secret: str
    secure: bool = False

    @property
    def name(self) -> str:
        """Of the cookie. Browsers keep cookies by host, not by port: two rounds that are served
        on one machine need two names."""
        digest = hashlib.sha256(f"name {self.secret}".encode()).hexdigest()
        return f"{'__Host-' if self.secure else ''}preflab-{digest[:10]}"

    def open(self, response: Response, labeler: str, link: str) -> None:
        """Give the browser a cookie for a person. link: mark of the link that they came by."""
        response.set_cookie(
            self.name,
            self._signer.dumps([labeler, link]),
            max_age=MAX_AGE,
            path="/",
            httponly=True,
            samesite="strict",
            secure=self.secure,
        )

    def close(self, response: Response) -> None:
        """Take the cookie back."""
        response.delete_cookie(
            self.name, path="/", httponly=True, samesite="strict", secure=self.secure
        )

    def read(self, request: Request) -> tuple[str, str]:
        """The person whom a request comes from, and the mark of their link; "" and "" if it has no
        valid cookie."""
        try:
            value = self._signer.loads(request.cookies.get(self.name, ""), max_age=MAX_AGE)
        except BadSignature:
            return "", ""
        match value:
            case [str(labeler), str(link)]:
                return labeler, link
        return "", ""  # a cookie of an earlier form

    @property
    def _signer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self.secret, salt="preflab label", signer_kwargs={"digest_method": hashlib.sha256}
        )


def stored_secret(path: Path) -> str:
    """The secret in a file that its owner alone can read; made at the first call."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text(encoding="ascii").strip()


class Limits:
    """How often: failed logins by address, and whatever a person sends, in the memory of this
    process. Attempts that are refused here count for nothing."""

    def __init__(self, logins: int, submissions: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rates = {
            "login": RateLimitItemPerMinute(logins),
            "submit": RateLimitItemPerMinute(submissions),
            "write": RateLimitItemPerMinute(4 * submissions),  # drafts every two seconds, in tabs
        }

    def check(self, what: str, who: str) -> None:
        """Refuse if the limit is reached; counts nothing. Raises Refused."""
        if not self._limiter.test(self._rates[what], what, who):
            raise self._refusal(what, who)

    def count(self, what: str, who: str) -> None:
        """Count one; refuse it if it is one too many. Raises Refused."""
        if not self._limiter.hit(self._rates[what], what, who):
            raise self._refusal(what, who)

    def record(self, what: str, who: str) -> None:
        """Count one that has been answered."""
        self._limiter.hit(self._rates[what], what, who)

    def _refusal(self, what: str, who: str) -> Refused:
        reset = self._limiter.get_window_stats(self._rates[what], what, who).reset_time
        wait = max(1, math.ceil(reset - time.time()))
        return Refused(429, "too_fast", f"Too many requests; try again in {wait} s.", wait)
