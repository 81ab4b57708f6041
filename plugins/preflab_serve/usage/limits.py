"""How much a key may ask for: requests a minute, tokens a day."""

from __future__ import annotations

import datetime
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from preflab_people.server.answers import Refused
from preflab_serve.usage.log import today


@dataclass(frozen=True)
class Reserved:
    """Tokens that are set apart of one day. day: what keys have taken of it."""

    tokens: int
    day: defaultdict[str, int]


class Limits:
    """In the memory of this process. requests: a minute; tokens: that models compute for a key on a
    day (UTC); 0: no limit."""

    def __init__(
        self, requests: int = 0, tokens: int = 0, clock: Callable[[], datetime.datetime] = today
    ) -> None:
        self.requests, self.tokens, self.clock = requests, tokens, clock
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(max(1, requests))
        self._day = ""
        self._taken: defaultdict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def count(self, key: str) -> None:
        """Count one request. Raises Refused if it is one too many."""
        if self.requests and not self._limiter.hit(self._rate, key):
            reset = self._limiter.get_window_stats(self._rate, key).reset_time
            wait = max(1, math.ceil(reset - time.time()))
            raise Refused(
                *(429, "rate_limit_exceeded"),
                f"More than {self.requests} requests a minute; try again in {wait} s.",
                wait,
            )

    def reserve(self, key: str, tokens: int) -> Reserved | None:
        """Set apart the tokens that a request may need, before any is sampled; None where they have
        no limit. Raises Refused if they are more than are left of the day."""
        if not self.tokens:
            return None
        with self._lock:
            self._begin_day()
            left = self.tokens - self._taken[key]
            if tokens > left:
                now = self.clock()
                wait = 86_400 - (now.hour * 60 + now.minute) * 60 - now.second
                raise Refused(
                    *(429, "insufficient_quota"),
                    f"The request may need {tokens} tokens, and {max(0, left)} of {self.tokens} "
                    "are left for today (UTC).",
                    wait,
                )
            self._taken[key] += tokens
            return Reserved(tokens, self._taken)

    def settle(self, key: str, reserved: Reserved | None, used: int) -> None:
        """Give back what was not needed, of the day of which it was set apart: a request that ends
        after midnight gives nothing back of the new day. reserved: None if nothing was."""
        if self.tokens:
            with self._lock:
                self._begin_day()
                day, apart = (reserved.day, reserved.tokens) if reserved else (self._taken, 0)
                day[key] = max(0, day[key] - apart + used)

    def _begin_day(self) -> None:
        day = self.clock().date().isoformat()
        if day > self._day:  # a clock that is set back gives nobody a second day
            self._taken = defaultdict(int)
        self._day = day
