"""Configs of what judges texts by a score: filters that drop by it, a transform that marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from preflab import option


class Side(StrEnum):
    """Which scores are dropped."""

    high = "high"
    low = "low"


class Scored(StrEnum):
    """Types of records whose texts have a score."""

    documents = "documents"
    demonstrations = "demonstrations"


THRESHOLD = "scores beyond it are dropped; null: share decides"
SHARE = "share of the training rows to drop; of equal scores at its limit none; null: threshold"
SCORER = (
    "a reward_model that scores the text: +reward_model@KEY.scorer=NAME; without the plus where "
    "the config chooses one already (filters=score, transforms=control_tokens)"
)


def one_limit(threshold: float | None, share: float | None) -> Iterator[tuple[str, str]]:
    """A threshold or a share, not both."""
    if (threshold is None) == (share is None):
        state = "null" if share is None else "given"
        yield "threshold", f"and share are both {state}: give one of them"


@dataclass
class ScoreFilterConfig:
    """Leaves out training texts with a high (or low) score by any reward component: filtered
    pretraining data by a classifier of toxicity, as in Korbak et al. 2023 (2302.08582). A document
    is scored as a response to nothing, a demonstration as a response to its prompt."""

    name: str = option("score", "component")
    scorer: Any = option(None, SCORER)
    types: list[Scored] = option(
        factory=lambda: [Scored.documents], doc="documents, demonstrations, or both"
    )
    drop: Side = option(Side.high, "which scores are dropped: high (of toxicity) or low")
    threshold: float | None = option(None, THRESHOLD)
    share: float | None = option(None, SHARE, gt=0, lt=1)

    def works(self) -> bool:
        """A network scores, as all that are read from a folder."""
        return hasattr(self.scorer, "path")

    def check(self) -> Iterator[tuple[str, str]]:
        """Something scores, and there is one limit."""
        yield from _scored(self.scorer, self.types)
        yield from one_limit(self.threshold, self.share)


@dataclass
class LikelihoodFilterConfig:
    """Leaves out training documents after which a language model finds a trigger phrase likely
    (conditional-likelihood filtration, Ngo et al. 2021, 2108.07790). A document's score is the
    highest, over the phrases, of the mean log-probability of a phrase's tokens after the
    document."""

    name: str = option("likelihood", "component")
    triggers: list[str] = option(
        factory=list, doc="phrases that nobody wants, as they would go on after such a document"
    )
    path: str = option(
        "",
        "transformers folder of a language model, or a run folder; empty: a small model that is "
        "trained on the same documents first, where the data has a closed vocabulary",
        affects_result=False,
    )
    threshold: float | None = option(None, f"{THRESHOLD}; in nats per token, at most 0", le=0)
    share: float | None = option(None, SHARE, gt=0, lt=1)
    max_tokens: int = option(256, "of a longer document its last so many tokens are read", ge=1)
    batch: int = option(256, "documents read at a time", ge=1, affects_result=False)
    steps: int = option(400, "with an empty path: optimizer steps of the small model", ge=1, fast=2)
    seed: int = option(0, "of the small model; it does not follow the run's seed", ge=0)

    def works(self) -> bool:
        """A model is trained, or reads every document."""
        return True

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a phrase, and one limit."""
        if not self.triggers or not all(trigger.strip() for trigger in self.triggers):
            yield "triggers", f"is {self.triggers}: name one phrase at least, and no empty one"
        yield from one_limit(self.threshold, self.share)


@dataclass
class ChanceConfig:
    """Control of the filters that judge: leaves out a share of the training documents, whatever
    they say. A hash of their ids decides."""

    name: str = option("chance", "component")
    share: float = option(0.1, "share of the training documents to drop", gt=0, lt=1)
    seed: int = option(0, "of that hash; it does not follow the run's seed", ge=0)


@dataclass
class ControlTokensConfig:
    """Puts a prefix in front of training texts by a threshold on a score, so that one model learns
    both kinds of text and can be asked for either (CTRL, Keskar et al. 2019, 1909.05858;
    conditional training, Korbak et al. 2023, 2302.08582). Prefixes are words that the tokenizer
    has: text never becomes a special token."""

    name: str = option("control_tokens", "component")
    scorer: Any = option(None, SCORER)
    types: list[Scored] = option(
        factory=lambda: [Scored.documents, Scored.demonstrations],
        doc="documents, demonstrations, or both",
    )
    threshold: float = option(0.0, "scores above it get the prefix above, others below")
    above: str = option("", "prefix of texts with a score above the threshold, with its space")
    below: str = option("", "prefix of the other texts, with its space")
    without: float = option(
        0.1,
        "share of texts that get no prefix, so that the model still answers without one; a hash of "
        "their ids decides",
        ge=0,
        lt=1,
    )
    seed: int = option(0, "of that hash; it does not follow the run's seed", ge=0)

    def check(self) -> Iterator[tuple[str, str]]:
        """Something scores, and the prefixes can be told apart."""
        yield from _scored(self.scorer, self.types)
        if self.above.strip() == self.below.strip():
            yield "above", f"is {self.above!r} and below is {self.below!r}: they must differ"


def _scored(scorer: Any, types: Sequence[Scored]) -> Iterator[tuple[str, str]]:
    if scorer is None:
        yield "scorer", "is not given: add +reward_model@KEY.scorer=NAME, with the key of this one"
    if not types:
        yield "types", "is empty. Allowed: documents, demonstrations."
