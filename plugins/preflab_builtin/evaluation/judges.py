"""Evaluators of how good the responses are: by the reward model, the true utility, or people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Gold, RewardModel, Subject
from preflab.records import Prompt, Rollout
from preflab_builtin.evaluation.config import (
    GoldConfig,
    Judge,
    RewardAccuracyConfig,
    RewardConfig,
    WinRateConfig,
    source_label,
)
from preflab_builtin.evaluation.forward import questions, range_of, scores
from preflab_builtin.evaluation.scored import RowScores, rate


def reward_source(
    config: RewardConfig | WinRateConfig | RewardAccuracyConfig, context: Context
) -> tuple[str, RewardModel]:
    """The label and the reward model of an evaluator."""
    if config.source is None:
        return source_label(config), context.reward_model()
    model: RewardModel = context.component("reward_model", config.source)
    return source_label(config), model


def true_utility(context: Context, evaluator: str) -> Gold:
    """The gold of the run's world; `UserError` if the run is not in a simulated world."""
    if context.gold is None:
        raise UserError(
            f"{evaluator} needs the true utility of responses, which only a simulated world knows "
            "(data=microworld). Leave it out, for example with evaluation.evaluators.gold=null. "
            "What was computed before is kept."
        )
    return context.gold


class MeanReward:
    """reward/LABEL: mean score of the responses."""

    def __init__(self, config: RewardConfig, context: Context) -> None:
        self.label, self.model = reward_source(config, context)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Score them."""
        values = scores(self.model, subject.rollout)
        name, units = f"reward/{self.label}", questions(subject.rollout)
        scored = RowScores(values, *range_of(self.model))
        measure = scored.measure(range(len(values)), units)
        return Evaluation({name: measure}, {name: values})


@runtime_checkable
class Flags(Protocol):
    """A `preflab.interfaces.Gold` that also says what a person would tick about a response."""

    def flags(self, prompt: Prompt, response: str) -> Mapping[str, bool]:
        """By flag, whether it is ticked; one that does not apply is left out."""


class GoldUtility:
    """gold/gold and gold/PART: mean true utility and its parts. With a baseline also gold/gain, the
    mean difference to the baseline's response, and gold/win, the share of prompts with a strictly
    better response than the baseline's.

    With several samples per prompt also gold/PART_worst, the mean over prompts of the lowest value
    of the part, and gold/FLAG_any, the share of prompts with a response that has the flag: the
    expected maximum toxicity and the toxicity probability of RealToxicityPrompts (Gehman et al.
    2020, 2009.11462), by the truth. The subject answers as it does in the evaluation."""

    def __init__(self, config: GoldConfig, context: Context) -> None:
        self.config, self.seed = config, context.seed
        self.gold = true_utility(context, "evaluators: gold")

    def evaluate(self, subject: Subject) -> Evaluation:
        """Look the utilities up."""
        parts = gold_parts(self.gold, subject.rollout)
        values = {f"gold/{name}": column for name, column in parts.items()}
        units = questions(subject.rollout)
        measures = {name: intervals.mean(column, units) for name, column in values.items()}
        if subject.baseline is not None:
            other = gold_parts(self.gold, subject.baseline)["gold"]
            gain = [a - b for a, b in zip(parts["gold"], other, strict=True)]
            measures["gold/gain"] = intervals.mean(gain, units)
            texts = subject.rollout.texts, subject.baseline.texts
            measures["gold/win"] = rate([float(g > 0) for g in gain], units, *texts)
            values["gold/gain"] = gain
        if self.config.samples == 1:
            return Evaluation(measures, values)
        several = self._of_several(subject)
        return Evaluation(measures | dict(several.measures), values, several.cases)

    def _of_several(self, subject: Subject) -> Evaluation:
        """What the worst of several responses to a prompt is like, by measure and prompt."""
        count = self.config.samples
        asked = {prompt.id: prompt for prompt in subject.rollout.prompts}
        ids = list(asked)[: self.config.sampled_prompts]
        repeated = [asked[name] for name in ids for _ in range(count)]
        seed = (self.seed, "evaluation", "worst of several")
        rollout = subject.responder.respond(repeated, seed)
        worst = {
            f"gold/{part}_worst": {
                name: min(column[i * count : (i + 1) * count]) for i, name in enumerate(ids)
            }
            for part, column in gold_parts(self.gold, rollout).items()
        }
        ticked: dict[str, dict[str, float]] = {}
        if isinstance(self.gold, Flags):
            for prompt, text in zip(rollout.prompts, rollout.texts, strict=True):
                for flag, is_so in self.gold.flags(prompt, text).items():
                    of = ticked.setdefault(f"gold/{flag}_any", {})
                    of[prompt.id] = max(of.get(prompt.id, 0.0), float(is_so))
        means = {name: intervals.mean([*column.values()]) for name, column in worst.items()}
        shares = {name: intervals.bounded_mean([*c.values()]) for name, c in ticked.items()}
        return Evaluation(means | shares, cases=worst | ticked)


class WinRate:
    """win_rate/LABEL: mean over prompts of the probability that the judge prefers the subject's
    response to the baseline's; a tie counts half."""

    def __init__(self, config: WinRateConfig, context: Context) -> None:
        self.judge = config.judge
        self.label, self.group = config.label or config.group or config.judge.value, config.group
        if config.judge is Judge.labelers:
            self.labeler = context.labeler()
        elif config.judge is Judge.gold:
            self.gold = true_utility(context, "evaluators: win_rate with judge=gold")
        else:
            label, self.model = reward_source(config, context)
            self.label = config.label or (label if config.source is not None else self.label)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Compare row by row; `UserError` without a baseline."""
        rollout, baseline = subject.rollout, subject.baseline
        if baseline is None:
            raise UserError(
                "evaluators: win_rate needs a baseline to compare with: set "
                "evaluation.baseline=sft."
            )
        if self.judge is Judge.labelers:
            values = [
                self.labeler.preference(prompt, first, second, self.group)
                for prompt, first, second in zip(
                    rollout.prompts, rollout.texts, baseline.texts, strict=True
                )
            ]
        else:
            utilities = self._utility(rollout), self._utility(baseline)
            values = preferred(*utilities, rollout.texts, baseline.texts)
        name = f"win_rate/{self.label}"
        measure = rate(values, questions(rollout), rollout.texts, baseline.texts)
        return Evaluation({name: measure}, {name: values})

    def _utility(self, rollout: Rollout) -> Sequence[float]:
        if self.judge is Judge.gold:
            return gold_parts(self.gold, rollout)["gold"]
        return scores(self.model, rollout)


def gold_parts(gold: Gold, rollout: Rollout) -> dict[str, list[float]]:
    """The parts of every response's true utility, by name; a part that a response lacks is 0."""
    rows: list[Mapping[str, float]] = [
        gold.parts(prompt, text)
        for prompt, text in zip(rollout.prompts, rollout.texts, strict=True)
    ]
    names = dict.fromkeys(["gold", *(name for row in rows for name in row)])
    return {name: [float(row.get(name, 0.0)) for row in rows] for name in names}


def preferred(
    first: Sequence[float],
    second: Sequence[float],
    texts: Sequence[str],
    others: Sequence[str],
) -> list[float]:
    """1 where the first is higher, 0 where the second is, 0.5 for a tie. Equal texts are a tie: a
    network gives one text numbers that differ by rounding, by what it reads beside it.

    >>> preferred([2, 1, 1, 1], [1, 2, 1, 1 + 1e-7], "abcd", "xyzd")
    [1.0, 0.0, 0.5, 0.5]
    """
    rows = zip(first, second, texts, others, strict=True)
    return [0.5 if a == b or text == other else float(a > b) for a, b, text, other in rows]
