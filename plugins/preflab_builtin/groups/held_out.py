"""How each group's head does on held-out rankings: how far it tells responses apart, how often it
is right about its own group, and how much better it predicts it than one reward for all does."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import torch

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Measure, OfMembers, Subject
from preflab.records import Ranking, Rollout
from preflab_builtin.evaluation.forward import question
from preflab_builtin.evaluation.reward_accuracy import log_loss
from preflab_builtin.groups.evaluators import GroupHeadsConfig

Scores = Sequence[Sequence[float]]
"""The rewards of the responses of each ranking."""

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
    in the right order. A unit of their intervals is a prompt.

    group_loss/own: mean -log sigma(r_better - r_worse) in nats of the held-out pairs of all groups
    that have a reward, by the group's own; group_loss/together: by the reward of the run;
    group_loss/gain: how much lower the first is. A unit of their intervals is a person, or a group
    where people are not known: other people would say something else."""

    def __init__(self, config: GroupHeadsConfig, context: Context) -> None:
        reward = context.reward_model()
        if not isinstance(reward, OfMembers):
            raise UserError(NO_HEADS)
        self.reward, self.context = reward, context
        self.rankings = held_out(context)

    def evaluate(self, subject: Subject) -> Evaluation:
        """The responses of the run play no part."""
        rollout = responses_of(self.rankings, self.context)
        units = [question(ranking.prompt) for ranking in self.rankings]
        members = self.reward.members(rollout)
        by_name = {name: self._by_ranking(column) for name, column in members.items()}
        spread, accuracy = {}, {}
        for name, scores in by_name.items():
            spread[f"group_spread/{name}"] = root(
                intervals.mean([variance(own) for own in scores], units)
            )
            pairs: dict[Hashable, tuple[int, int]] = {}
            for unit, ranking, own in zip(units, self.rankings, scores, strict=True):
                if ranking.group == name and ranking.preferences:
                    right, judged = pairs.get(unit, (0, 0))
                    right += sum(own[i] > own[j] for i, j in ranking.preferences)
                    pairs[unit] = right, judged + len(ranking.preferences)
            if pairs:
                own_right, own_pairs = map(list, zip(*pairs.values(), strict=True))
                accuracy[f"group_accuracy/{name}"] = intervals.bounded_ratio(own_right, own_pairs)
        together = self._by_ranking(self.reward.together(members))
        return Evaluation(spread | accuracy | self._losses(by_name, together))

    def _losses(self, own: Mapping[str, Scores], together: Scores) -> dict[str, Measure]:
        """Of the pairs of groups that have a reward; nothing if there are none."""
        people, by_own, by_all = [], [], []
        for at, ranking in enumerate(self.rankings):
            for i, j in ranking.preferences if ranking.group in own else ():
                people.append(ranking.labeler or ranking.group)
                by_own.append(log_loss(own[ranking.group][at][i] - own[ranking.group][at][j]))
                by_all.append(log_loss(together[at][i] - together[at][j]))
        gains = [b - a for a, b in zip(by_own, by_all, strict=True)]
        columns = {"own": by_own, "together": by_all, "gain": gains}
        return {
            f"group_loss/{name}": intervals.mean(column, people)
            for name, column in columns.items()
            if column
        }

    def _by_ranking(self, column: torch.Tensor) -> Scores:
        scores, found, start = column.tolist(), [], 0
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
