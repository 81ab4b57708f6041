"""Training texts that are judged by a score: dropped beyond a limit, or marked by a prefix."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from preflab.errors import UserError
from preflab.filtering import Selection, excerpt
from preflab.interfaces import Context, RewardModel
from preflab.prompts import check_prefix, with_prefix
from preflab.randomness import derive_seed
from preflab.records import Demonstration, Document, Prompt, Record, Rollout
from preflab_builtin.filters.judged_config import (
    ChanceConfig,
    ControlTokensConfig,
    Scored,
    ScoreFilterConfig,
    Side,
)

Judge = Callable[[Sequence[Record]], Sequence[float]]
"""Gives each record a finite score."""
ROWS = 256
"""Texts that are scored at a time."""
_TYPES: Mapping[Scored, type[Document] | type[Demonstration]] = {
    Scored.documents: Document,
    Scored.demonstrations: Demonstration,
}


class Judged:
    """The `preflab.interfaces.Filter` that drops training records with scores beyond a limit.
    Records for validation and testing stay, so that every run is measured on the same ones."""

    def __init__(
        self,
        judge: Judge,
        types: Collection[Scored],
        limit: Callable[[Sequence[float]], float],
        reason: str,
    ) -> None:
        """limit: of the scores of all records that are judged; those above it are dropped."""
        self._judge, self._limit, self._reason = judge, limit, reason
        self._types = tuple(_TYPES[scored] for scored in types)

    def __call__(self, records: Sequence[Record]) -> tuple[Sequence[Record], Mapping[str, int]]:
        """The records kept, in their order."""
        judged = [record for record in records if self._judges(record)]
        if not judged:
            return records, {}
        if early := next((record for record in judged if not record.split), None):
            raise UserError(
                f"filters: {excerpt(early)} has no split yet, and no held-out text is judged: put "
                "the filter that assigns splits before the one that drops by a score."
            )
        scores = checked(judged, self._judge(judged))
        limit, following = self._limit(scores), iter(scores)
        kept = Selection.of(records, lambda r: not self._judges(r) or next(following) <= limit)
        return kept, {self._reason: len(records) - len(kept)}

    def _judges(self, record: Record) -> bool:
        return isinstance(record, self._types) and record.split not in ("validation", "test")


def limit_of(threshold: float | None, share: float | None) -> Callable[[Sequence[float]], float]:
    """The threshold; or the score above which at most that share of the scores is.

    >>> limit_of(None, 0.5)([1.0, 2.0, 3.0, 4.0]), limit_of(None, 0.5)([0.0, 1.0, 1.0, 1.0])
    (2.0, 1.0)
    """
    if share is None:
        assert threshold is not None
        return lambda scores: threshold
    return lambda scores: sorted(scores, reverse=True)[int(share * len(scores))]


def score(config: ScoreFilterConfig, context: Context) -> Judged:
    """The filter by a reward component."""
    sign = 1.0 if config.drop is Side.high else -1.0
    judge = by_reward(config.scorer, context)

    def signed(records: Sequence[Record]) -> list[float]:
        return [sign * value for value in judge(records)]

    threshold = None if config.threshold is None else sign * config.threshold
    limit = limit_of(threshold, config.share)
    return Judged(signed, config.types, limit, f"a {config.drop.value} score")


def chance(config: ChanceConfig, context: Context) -> Judged:
    """The filter that judges nothing."""

    def drawn(records: Sequence[Record]) -> list[float]:
        return [_draw(config.seed, "chance", record) for record in records]

    return Judged(drawn, [Scored.documents], limit_of(None, config.share), "chance")


class ControlTokens:
    """The `preflab.interfaces.Transform` that puts one of two prefixes in front of a text."""

    def __init__(self, config: ControlTokensConfig, context: Context) -> None:
        for prefix in (config.above, config.below):
            check_prefix(context.tokenizer, prefix, f"{context.stage}.above and .below")
        self._config, self._judge = config, by_reward(config.scorer, context)
        self._types = tuple(_TYPES[scored] for scored in config.types)
        self._prefixes: list[str] = []
        self._scores: Sequence[float] = ()

    def __call__(self, records: Sequence[Record]) -> Sequence[Record]:
        """Documents and demonstrations with their prefixes; others as they are."""
        self._prefixes, self._scores = [], ()
        if not records or not isinstance(records[0], self._types):
            return records
        self._scores = checked(records, self._judge(records))
        both = list(zip(records, self._scores, strict=True))
        self._prefixes = [self._prefix(record, score) for record, score in both]
        return [
            _marked(record, prefix) if prefix else record
            for record, prefix in zip(records, self._prefixes, strict=True)
        ]

    def remarks(self) -> Sequence[str]:
        """How many of the texts that it was given last have which prefix."""
        return list(marks(self._config, self._prefixes, self._scores))

    def _prefix(self, record: Record, score: float) -> str:
        config = self._config
        if _draw(config.seed, "control tokens", record) < config.without:
            return ""
        return config.above if score > config.threshold else config.below


def marks(
    config: ControlTokensConfig, prefixes: Sequence[str], scores: Sequence[float]
) -> Iterator[str]:
    """A sentence on the prefixes that texts have ("" for none), and one where a prefix is never
    used, although the config wants it; nothing if there are no texts."""
    if not prefixes:
        return
    total, limit = len(prefixes), f"{config.threshold:g}"
    shares = [prefixes.count(prefix) for prefix in (config.above, config.below, "")]
    above, below, none = (f"{n} ({n / total:.0%})" for n in shares)
    yield (
        f"marks of {total} texts {above} as above the threshold {limit} ({config.above!r}), "
        f"{below} as not above it ({config.below!r}), and {none} not at all."
    )
    if 0 in shares[:2]:
        yield (
            f"marks alike all texts that it marks: asking for {config.above!r} or {config.below!r} "
            f"changes little. Scores go from {min(scores):.4g} to {max(scores):.4g}: set its "
            f"threshold, now {limit}, between them."
        )
    elif config.without and not shares[2]:
        yield "leaves no text without a prefix: the model does not learn to answer without one."


def _marked(record: Record, prefix: str) -> Record:
    if isinstance(record, Demonstration):
        return replace(record, prompt=with_prefix(record.prompt, prefix))
    assert isinstance(record, Document)
    start = None if record.answer_start is None else record.answer_start + len(prefix)
    return replace(record, text=f"{prefix}{record.text}", answer_start=start)


def _draw(seed: int, purpose: str, record: Record) -> float:
    """A number in [0, 1) that follows from a seed, its purpose and the record's id."""
    assert isinstance(record, (Document, Demonstration))
    name = record.id if isinstance(record, Document) else record.prompt.id
    return derive_seed(seed, purpose, name) / 2**63


def by_reward(scorer: object, context: Context) -> Judge:
    """Scores by a reward component: of documents as responses to nothing, of demonstrations as
    responses to their prompts."""
    try:
        model: RewardModel = context.component("reward_model", scorer)
    except UserError as error:
        raise UserError(
            f"{context.stage}.scorer: {error} A scorer is not trained in this run: choose a "
            "function, a classifier, or pretrained with the path of an earlier run's reward model."
        ) from error

    def judge(records: Sequence[Record]) -> list[float]:
        found: list[float] = []
        for start in range(0, len(records), ROWS):
            rows = [_as_response(record) for record in records[start : start + ROWS]]
            prompts, texts = [prompt for prompt, _ in rows], [text for _, text in rows]
            device = context.runtime.device
            rollout = Rollout.from_texts(context.tokenizer, prompts, texts, device=device)
            found += [float(value) for value in model.score(rollout).tolist()]
        return found

    return judge


def checked(records: Sequence[Record], scores: Sequence[float]) -> Sequence[float]:
    """The scores; `UserError` naming the first record whose score is not a finite number."""
    for record, value in zip(records, scores, strict=True):
        if not math.isfinite(value):
            raise UserError(f"The score of {excerpt(record)} is {value}, not a finite number.")
    return scores


def _as_response(record: Record) -> tuple[Prompt, str]:
    if isinstance(record, Demonstration):
        return record.prompt, record.response
    assert isinstance(record, Document)
    return Prompt(record.id, ""), record.text
