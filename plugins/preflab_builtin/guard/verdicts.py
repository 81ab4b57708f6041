"""What guards are to the rest, and what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from preflab.errors import NumericError
from preflab.records import Prompt
from preflab_builtin.guard.config import Action, Part


@dataclass(frozen=True)
class Verdict:
    """What a guard says of one prompt or response. category: of what is not allowed; score: higher
    is worse; action: what is to be done if it is not allowed."""

    allowed: bool = True
    category: str = ""
    score: float = 0.0
    action: Action = Action.refuse

    @property
    def shown(self) -> bool:
        """Whether it may be shown: it is allowed, or is only to be counted."""
        return self.allowed or self.action is Action.flag


class Guard(Protocol):
    """Checks prompts, and responses to them."""

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        """A verdict for each prompt [B], or, where responses [B] are given, for each response. A
        guard that does not look at prompts, or at responses, allows them all."""


Scores = Callable[[Sequence[Prompt], Sequence[str] | None], list[float]]
"""A score [B] of prompts, or of responses to them: higher is worse."""


@dataclass(frozen=True)
class Scoring:
    """A guard that compares scores with a threshold: what is above it is not allowed."""

    scores: Scores
    threshold: float
    category: str
    checks: Part
    action: Action

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        """A verdict each. `NumericError` for a score that is not finite, which allows nothing."""
        if not prompts or not looks(self.checks, responses):
            return [Verdict() for _ in prompts]
        scores = self.scores(prompts, responses)
        if len(scores) != len(prompts) or not all(map(math.isfinite, scores)):
            raise NumericError(f"The guard for {self.category} gave scores that are not finite.")
        return [
            Verdict(score <= self.threshold, self.category, score, self.action) for score in scores
        ]


def looks(checks: Part, responses: Sequence[str] | None) -> bool:
    """Whether a guard looks at prompts (no responses), or at responses."""
    return checks is Part.both or (checks is Part.prompt) == (responses is None)


_STRICT = (Action.flag, Action.resample, Action.refuse)


def strictest(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several guards' verdicts of one text: the one whose action is the strictest, and of equal
    ones the first; of allowed ones the one with the highest score."""
    against = [verdict for verdict in verdicts if not verdict.allowed]
    if against:
        return max(against, key=lambda verdict: _STRICT.index(verdict.action))
    return max(verdicts, key=lambda verdict: verdict.score, default=Verdict())


def failed() -> Verdict:
    """Of a guard that cannot say anything: it refuses."""
    return replace(Verdict(), allowed=False, category="guard_failed", score=1.0)
