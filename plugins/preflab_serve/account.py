"""What one request costs its key, and its line in the log of use."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from preflab_people.server.answers import Refused
from preflab_serve.answering import Answering
from preflab_serve.service import Service
from preflab_serve.usage.limits import Reserved


@dataclass
class Account:
    """One request of a key to an address. It is closed once, with the status that it ended with
    (499: the client hung up); then nobody waits for it any more."""

    service: Service
    key: str
    path: str
    answering: Answering | None = None
    reserved: Reserved | None = None
    closed: bool = False
    began: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Count the request. Raises Refused if it is one too many of its key, and as long as
        requests cannot be noted."""
        self.service.limits.count(self.key)
        if self.service.log is not None and not self.service.log.pay():
            sentence = "The log of use cannot be written: until it can, nothing is answered."
            raise Refused(503, "log", sentence, wait=60)

    def reserve(self) -> None:
        """Set apart the tokens that it may need. Raises Refused if its key has no more."""
        assert self.answering is not None
        self.reserved = self.service.limits.reserve(self.key, self.answering.needed)

    def close(self, status: int) -> None:
        """Note how it ended."""
        if self.closed:
            return
        self.closed = True
        used = 0
        if self.answering is not None:
            used = self.answering.computed
            self.service.leave(self.answering)
        self.service.limits.settle(self.key, self.reserved, used)
        if self.service.log is not None:
            self.service.log.write(self._entry(status))

    def _entry(self, status: int) -> dict[str, Any]:
        log, answering = self.service.log, self.answering
        assert log is not None
        entry: dict[str, Any] = {
            "key": log.pseudonym(self.key),
            "path": self.path,
            "status": status,
            "seconds": round(time.monotonic() - self.began, 3),
        }
        if answering is None:
            return entry
        entry |= {
            "model": answering.arm.name,
            "user": log.pseudonym(answering.asked.user),
            "responses": len(answering.rows),
            "prompt_tokens": answering.prompt_tokens,
            "tokens": answering.tokens,
            "computed": answering.computed,
            "against": [
                {
                    "stage": stage,
                    "category": verdict.category,
                    "score": round(verdict.score, 4),
                    "action": verdict.action.value,
                }
                for stage, verdict in answering.verdicts
            ],
        }
        if log.text:
            rows = answering.rows
            entry["prompts"] = [row.prompt.text for row in rows[:: answering.asked.n]]
            entry["texts"] = [row.text for row in rows]
        return entry
