"""How often a reward model agrees with people on held-out pairs, next to how often length agrees.

InstructGPT 3.5 prints 72.4 +/- 0.4 % on labelers it was trained on and 69.6 +/- 0.9 % on held-out
ones.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Measure, Subject
from preflab.records import Prompt, Ranking, Rollout
from preflab_builtin.evaluation.config import ACCURACIES, HeldOut, RewardAccuracyConfig, Unit
from preflab_builtin.evaluation.forward import question, scores
from preflab_builtin.evaluation.judges import reward_source

MANY_GROUPS = 12
"""Groups of people above which nobody reads the accuracy of each, unless it is asked for."""
CHUNK = 1024
"""Responses that are tokenised at a time."""


@dataclass(frozen=True)
class Pair:
    """One judgement: a person preferred one response to another. better, worse: positions of the
    two among the scored responses; unit: what an interval draws; group: of the labeler."""

    better: int
    worse: int
    unit: Hashable
    group: str


def pairs_of(
    rankings: Sequence[Ranking], unit: Unit
) -> tuple[list[tuple[Prompt, str]], list[Pair]]:
    """The different (prompt, response) of the rankings, and one pair per preference."""
    positions: dict[Hashable, int] = {}
    responses: list[tuple[Prompt, str]] = []
    pairs: list[Pair] = []
    for ranking in rankings:
        prompt = ranking.prompt
        for text in ranking.responses:
            if (question(prompt), text) not in positions:
                positions[question(prompt), text] = len(responses)
                responses.append((prompt, text))
        at = [positions[question(prompt), text] for text in ranking.responses]
        drawn = prompt.group if unit is Unit.group and prompt.group else question(prompt)
        pairs.extend(Pair(at[i], at[j], drawn, ranking.group) for i, j in ranking.preferences)
    return responses, pairs


def judged_pairs(
    config: RewardAccuracyConfig, context: Context
) -> tuple[list[tuple[Prompt, str]], list[Pair]]:
    """`pairs_of` the first split that has any; `UserError` if none has."""
    for split in HeldOut if config.split is None else (config.split,):
        rankings = context.rankings(split.value)[: config.rankings]
        responses, pairs = pairs_of(rankings, config.unit)
        if pairs:
            return responses, pairs
    splits = " or ".join(HeldOut) if config.split is None else config.split.value
    raise UserError(
        f"evaluators: reward_accuracy finds no {splits} rankings with a preference. Give rankings "
        "of these splits, set the evaluator's split, or leave it out."
    )


class RewardAccuracy:
    """How the reward model, and length, agree with people on held-out pairs.

    reward_accuracy/LABEL/: ``all``, share of pairs whose preferred response is scored strictly
    higher; ``length``, share of pairs whose preferred response is the longer one (equal lengths
    count half); ``difference`` between the two on the same pairs; ``matched``, ``matched_length``
    and ``matched_difference``, the same on pairs of similar length; and ``group/GROUP``, ``all`` of
    the pairs that one group of people judged, the worst first (by_group).

    calibration/LABEL/, where sigma(r_i - r_j) is the probability that i is preferred: ``loss``,
    mean -log sigma(r_better - r_worse) in nats (log 2 for guessing); ``overconfidence``, mean of
    sigma(|r_i - r_j|) minus the share that is right (ties half): 0 if calibrated on average,
    positive if the rewards are too far apart.

    Intervals draw whole prompts (or groups), because the pairs of one prompt are not independent;
    n is their number.
    """

    def __init__(self, config: RewardAccuracyConfig, context: Context) -> None:
        self.config, self.runtime, self.tokenizer = config, context.runtime, context.tokenizer
        self.label, self.model = reward_source(config, context)
        self.responses, self.pairs = judged_pairs(config, context)
        self.groups = groups_of(self.pairs, config.by_group, simulated=context.gold is not None)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Score every response once, then count pairs."""
        rewards, lengths = self._score()
        pairs = self.pairs
        gaps = [rewards[p.better] - rewards[p.worse] for p in pairs]
        model = [float(rewards[p.better] > rewards[p.worse]) for p in pairs]
        longer = [length_vote(lengths[p.better], lengths[p.worse]) for p in pairs]
        bound = self.config.matched
        close = [similar(lengths[p.better], lengths[p.worse], bound) for p in pairs]
        everything = [True] * len(pairs)
        measures: dict[str, Measure] = {}
        accuracy, calibration = f"reward_accuracy/{self.label}", f"calibration/{self.label}"
        for names, use in ((ACCURACIES[:3], everything), (ACCURACIES[3:], close)):
            difference = [a - b for a, b in zip(model, longer, strict=True)]
            columns = ((model, 0.0), (longer, 0.0), (difference, -1.0))
            for name, (values, least) in zip(names, columns, strict=True):
                measures[f"{accuracy}/{name}"] = self._share(values, use, least)
        own = {
            f"{accuracy}/group/{group}": self._share(model, [p.group == group for p in pairs])
            for group in self.groups
        }
        measures |= sorted(own.items(), key=lambda item: item[1].value)
        loss, excess = [log_loss(gap) for gap in gaps], [overconfidence(gap) for gap in gaps]
        units = [pair.unit for pair in pairs]
        mean = intervals.mean(loss, units)
        measures[f"{calibration}/loss"] = intervals.within(mean, 0.0, math.inf)
        measures[f"{calibration}/overconfidence"] = intervals.bounded_mean(excess, -0.5, 1.0, units)
        return Evaluation(measures)

    def _score(self) -> tuple[list[float], list[int]]:
        """Reward and length in tokens (with the end token) of every response."""
        rewards: list[float] = []
        lengths: list[int] = []
        for start in range(0, len(self.responses), CHUNK):
            prompts, texts = zip(*self.responses[start : start + CHUNK], strict=True)
            rollout = Rollout.from_texts(self.tokenizer, prompts, texts, device=self.runtime.device)
            rewards.extend(scores(self.model, rollout))
            lengths.extend(int(n) for n in rollout.response_lengths.tolist())
        return rewards, lengths

    def _share(self, values: Sequence[float], use: Sequence[bool], least: float = 0.0) -> Measure:
        """Mean, at most 1, over the used pairs; its interval draws their units."""
        used = [i for i, is_used in enumerate(use) if is_used]
        units = [self.pairs[i].unit for i in used]
        return intervals.bounded_mean([values[i] for i in used], least, 1.0, units)


def groups_of(pairs: Sequence[Pair], asked: bool | None, simulated: bool) -> list[str]:
    """The labeler groups that have an accuracy of their own. asked: the option ``by_group``.

    >>> pairs = [Pair(0, 1, "p", group) for group in ("nurses", "", "doctors")]
    >>> groups_of(pairs, None, simulated=False), groups_of(pairs, None, simulated=True)
    (['doctors', 'nurses'], [])
    """
    found = sorted({pair.group for pair in pairs if pair.group})
    few = not simulated and 2 <= len(found) <= MANY_GROUPS
    return found if asked or (asked is None and few) else []


def log_loss(gap: float) -> float:
    """-log sigma(gap) in nats: the loss of a pair with this reward difference, better minus worse
    (InstructGPT, equation 1).

    >>> round(log_loss(0.0), 4), round(log_loss(-800.0), 1)
    (0.6931, 800.0)
    """
    return max(-gap, 0.0) + math.log1p(math.exp(-abs(gap)))


def overconfidence(gap: float) -> float:
    """Confidence sigma(|gap|) in the order of a pair, minus 1 if the order is right, 0 if it is
    wrong, 0.5 for a tie.

    >>> [round(overconfidence(gap), 3) for gap in (math.log(3), -math.log(3), 0.0)]
    [-0.25, 0.75, 0.0]
    """
    return 1 / (1 + math.exp(-abs(gap))) - (0.5 if gap == 0 else float(gap > 0))


def length_vote(better: int, worse: int) -> float:
    """1 if the preferred response is longer, 0 if it is shorter, 0.5 for equal lengths."""
    return 0.5 if better == worse else float(better > worse)


def similar(first: int, second: int, bound: float) -> bool:
    """Whether two lengths are similar: |log(first / second)| < bound.

    >>> similar(12, 10, 0.2), similar(13, 10, 0.2)
    (True, False)
    """
    return abs(math.log(first / second)) < bound
