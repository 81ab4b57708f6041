"""How each group's head does on held-out rankings: how far it tells responses apart, and how often
it is right about its own group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Measure, OfMembers, Subject
from preflab.records import Ranking, Rollout
from preflab_builtin.groups.config import GroupHeadsConfig

NO_HEADS = (
    "evaluators: group_heads asks each group's own reward: choose reward_model=kwise_groups with "
    "any reward_model.welfare but worst and without weights_by_tag, or leave the evaluator out."
)


def held_out(context: Context) -> Sequence[Ranking]:
    """Those of the test split, else those of validation."""
    return context.rankings("test") or context.rankings("validation")


def responses_of(rankings: Sequence[Ranking], context: Context) -> Rollout:
    """All their responses, one ranking after the other."""
    rows = [(ranking.prompt, text) for ranking in rankings for text in ranking.responses]
    prompts, texts = [prompt for prompt, _ in rows], [text for _, text in rows]
    return Rollout.from_texts(context.tokenizer, prompts, texts, device=context.runtime.device)


class HeldOutHeads:
    """group_spread/NAME: standard deviation of a group's reward over the responses to one
    prompt, the root of the mean variance over prompts. A group counts in a weighted sum by its
    weight times this. group_accuracy/NAME: share of the group's own pairs that its reward has
    in the right order. A unit of the intervals is a prompt."""

    def __init__(self, config: GroupHeadsConfig, context: Context) -> None:
        reward = context.reward_model()
        if not isinstance(reward, OfMembers):
            raise UserError(NO_HEADS)
        self.reward, self.context = reward, context
        self.rankings = held_out(context)

    def evaluate(self, subject: Subject) -> Evaluation:
        """The responses of the run play no part."""
        rollout = responses_of(self.rankings, self.context)
        units = [ranking.prompt.id for ranking in self.rankings]
        spread, accuracy = {}, {}
        for name, column in self.reward.members(rollout).items():
            scores = self._by_ranking(column.tolist())
            spread[f"group_spread/{name}"] = root(
                intervals.mean([variance(own) for own in scores], units)
            )
            pairs: dict[str, tuple[int, int]] = {}
            for ranking, own in zip(self.rankings, scores, strict=True):
                if ranking.group == name and ranking.preferences:
                    right, judged = pairs.get(ranking.prompt.id, (0, 0))
                    right += sum(own[i] > own[j] for i, j in ranking.preferences)
                    pairs[ranking.prompt.id] = right, judged + len(ranking.preferences)
            if pairs:
                own_right, own_pairs = map(list, zip(*pairs.values(), strict=True))
                accuracy[f"group_accuracy/{name}"] = intervals.bounded_ratio(own_right, own_pairs)
        return Evaluation(spread | accuracy)

    def _by_ranking(self, scores: Sequence[float]) -> list[Sequence[float]]:
        found, start = [], 0
        for ranking in self.rankings:
            end = start + len(ranking.responses)
            found.append(scores[start:end])
            start = end
        return found


def variance(scores: Sequence[float]) -> float:
    """The unbiased variance of two numbers or more.

    >>> variance([1.0, 3.0])
    2.0
    """
    mean = sum(scores) / len(scores)
    return sum((score - mean) ** 2 for score in scores) / (len(scores) - 1)


def root(measure: Measure) -> Measure:
    """A mean of squares and its interval as roots."""
    value, low, high = (
        math.sqrt(max(number, 0.0)) for number in (measure.value, measure.low, measure.high)
    )
    return replace(measure, value=value, low=low, high=high)
