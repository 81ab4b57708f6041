"""How often a reward model agrees with people on held-out pairs, and whether it does more than count words.

InstructGPT 3.5 prints 72.4 +/- 0.4 % on labelers it was trained on and 69.6 +/- 0.9 % on held-out ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Measure, Subject
from preflab.records import Prompt, Ranking, Rollout
from preflab_builtin.evaluation.config import HeldOut, RewardAccuracyConfig, Unit
from preflab_builtin.evaluation.judges import reward_source
from preflab_builtin.evaluation.likelihood import scores

CHUNK = 1024
"""Responses that are turned into tokens at a time."""


@dataclass(frozen=True)
class Pair:
    """One judgement: a person preferred one response to another. better, worse: their places among the scored responses."""

    better: int
    worse: int
    unit: str
    group: str


def pairs_of(
    rankings: Sequence[Ranking], unit: Unit
) -> tuple[list[tuple[Prompt, str]], list[Pair]]:
    """The different (prompt, response) that rankings hold, and their pairs, a vote each."""
    places: dict[tuple[str, str], int] = {}
    responses: list[tuple[Prompt, str]] = []
    pairs: list[Pair] = []
    for ranking in rankings:
        prompt = ranking.prompt
        for text in ranking.responses:
            if (prompt.id, text) not in places:
                places[prompt.id, text] = len(responses)
                responses.append((prompt, text))
        at = [places[prompt.id, text] for text in ranking.responses]
        drawn = prompt.group if unit is Unit.group and prompt.group else prompt.id
        pairs.extend(Pair(at[i], at[j], drawn, ranking.group) for i, j in ranking.preferences)
    return responses, pairs


class RewardAccuracy:
    """Measures under reward_accuracy/LABEL/: ``all``, share of pairs whose preferred response is scored strictly higher;
    ``length``, share whose preferred response is the longer one (equal lengths half); ``difference`` between the two on the
    same pairs; ``matched``, ``matched_length``, ``matched_difference`` the same on pairs of similar length; with by_group
    ``group/GROUP``. Under calibration/LABEL/, of sigma(r_i - r_j) as the probability that i is preferred: ``loss``, mean
    -log sigma(r_better - r_worse) in nats (log 2 is guessing), and ``overconfidence``, mean of sigma(|r_i - r_j|) less the
    share that is right (ties half): 0 when calibrated on average, positive when rewards lie too far apart. Intervals draw
    whole prompts (or groups), because the pairs of one prompt are not independent; n counts these."""

    def __init__(self, config: RewardAccuracyConfig, context: Context) -> None:
        self.config, self.runtime, self.tokenizer = config, context.runtime, context.tokenizer
        self.label, self.model = reward_source(config, context)
        for split in HeldOut if config.split is None else (config.split,):
            self.responses, self.pairs = pairs_of(context.rankings(split.value), config.unit)
            if self.pairs:
                return
        asked = " or ".join(HeldOut) if config.split is None else config.split.value
        raise UserError(
            f"evaluators: reward_accuracy finds no {asked} rankings with a preference. Allowed: test, validation, as far as "
            "the data has them. What was computed before is kept."
        )

    def evaluate(self, subject: Subject) -> Evaluation:
        """Score every response once, then count pairs."""
        rewards, lengths = self._score()
        model = [float(rewards[p.better] > rewards[p.worse]) for p in self.pairs]
        longer = [length_vote(lengths[p.better], lengths[p.worse]) for p in self.pairs]
        close = [
            similar(lengths[p.better], lengths[p.worse], self.config.matched) for p in self.pairs
        ]
        everything = [True] * len(self.pairs)
        measures = self._measures("", model, longer, everything) | self._measures(
            "matched", model, longer, close
        )
        for group in (
            sorted({p.group for p in self.pairs if p.group}) if self.config.by_group else ()
        ):
            measures[f"group/{group}"] = self._accuracy(
                model, [p.group == group for p in self.pairs]
            )
        gaps = [rewards[p.better] - rewards[p.worse] for p in self.pairs]
        calibration = {
            "loss": [log_loss(gap) for gap in gaps],
            "overconfidence": [overconfidence(gap) for gap in gaps],
        }
        found = {f"reward_accuracy/{self.label}/{name}": m for name, m in measures.items()}
        found |= {
            f"calibration/{self.label}/{name}": self._accuracy(v, everything)
            for name, v in calibration.items()
        }
        return Evaluation(found)

    def _score(self) -> tuple[list[float], list[int]]:
        """Reward and length in tokens (with the end token) of every response."""
        rewards: list[float] = []
        lengths: list[int] = []
        for start in range(0, len(self.responses), CHUNK):
            part = self.responses[start : start + CHUNK]
            prompts, texts = zip(*part, strict=True)
            rollout = Rollout.from_texts(self.tokenizer, prompts, texts, device=self.runtime.device)
            rewards.extend(scores(self.model, rollout, self.runtime))
            lengths.extend(int(n) for n in rollout.response_lengths.tolist())
        return rewards, lengths

    def _measures(
        self, prefix: str, model: Sequence[float], longer: Sequence[float], use: Sequence[bool]
    ) -> dict[str, Measure]:
        difference = [a - b for a, b in zip(model, longer, strict=True)]
        names = (
            ("matched", "matched_length", "matched_difference")
            if prefix
            else ("all", "length", "difference")
        )
        return {
            name: self._accuracy(v, use)
            for name, v in zip(names, (model, longer, difference), strict=True)
        }

    def _accuracy(self, values: Sequence[float], use: Sequence[bool]) -> Measure:
        """Mean over the used pairs, an interval over their units."""
        sums: dict[str, list[float]] = {}
        for pair, value, used in zip(self.pairs, values, use, strict=True):
            if used:
                total = sums.setdefault(pair.unit, [0.0, 0.0])
                total[0] += value
                total[1] += 1.0
        return intervals.ratio([a for a, _ in sums.values()], [b for _, b in sums.values()])


def log_loss(gap: float) -> float:
    """-log sigma(gap) in nats: what a pair with this reward difference, better minus worse, costs (paper equation 1).

    >>> round(log_loss(0.0), 4), round(log_loss(-800.0), 1)
    (0.6931, 800.0)
    """
    return max(-gap, 0.0) + math.log1p(math.exp(-abs(gap)))


def overconfidence(gap: float) -> float:
    """Confidence sigma(|gap|) in the order of a pair, less 1 if the order is right, 0 if wrong, 0.5 for a tie.

    >>> round(overconfidence(math.log(3)), 3), round(overconfidence(-math.log(3)), 3), overconfidence(0.0)
    (-0.25, 0.75, 0.0)
    """
    return 1 / (1 + math.exp(-abs(gap))) - (0.5 if gap == 0 else float(gap > 0))


def length_vote(better: int, worse: int) -> float:
    """1 if the preferred response is the longer one, 0 if it is the shorter one, 0.5 for equal lengths."""
    return 0.5 if better == worse else float(better > worse)


def similar(first: int, second: int, bound: float) -> bool:
    """Whether two lengths are alike: |log(first / second)| < bound.

    >>> similar(12, 10, 0.2), similar(13, 10, 0.2)
    (True, False)
    """
    return abs(math.log(first / second)) < bound
