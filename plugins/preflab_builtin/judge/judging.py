"""The judge of one response, and the judge of two."""

from __future__ import annotations

import math

import torch

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, Subject
from preflab.records import Rollout
from preflab_builtin.evaluation.scored import rate
from preflab_builtin.judge.asking import Asked
from preflab_builtin.judge.config import JudgeConfig, PairJudgeConfig, Scale


class Judge:
    """`preflab.interfaces.RewardModel`: P(yes) / (P(yes) + P(no)), or its log odds."""

    def __init__(self, config: JudgeConfig, context: Context) -> None:
        self.config, self.model = config, Asked(config, context.runtime)
        bounded = config.scale is Scale.probability
        self.least, self.most = (0.0, 1.0) if bounded else (-math.inf, math.inf)

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Scores [B] float32."""
        rows = [
            {"prompt": prompt.text, "response": text}
            for prompt, text in zip(rollout.prompts, rollout.texts, strict=True)
        ]
        odds = self.model.log_odds(rows)
        return odds.sigmoid() if self.config.scale is Scale.probability else odds


class PairJudge:
    """`preflab.interfaces.Evaluator`. win_rate/LABEL: probability that the subject's response is
    called better, the mean of both orders; LABEL/first: probability that goes to the place that is
    shown first (one half: no favourite place); LABEL/agrees: share of pairs of which both orders
    say the same."""

    def __init__(self, config: PairJudgeConfig, context: Context) -> None:
        self.config, self.model = config, Asked(config, context.runtime)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Ask about each pair twice; `UserError` without a baseline."""
        if subject.baseline is None:
            raise UserError(
                "evaluators: judge compares with a baseline: set evaluation.baseline=sft."
            )
        rollout, label = subject.rollout, self.config.label
        pairs = list(zip(rollout.prompts, rollout.texts, subject.baseline.texts, strict=True))
        asked = [{"prompt": p.text, "first": a, "second": b} for p, a, b in pairs]
        turned = [{"prompt": p.text, "first": b, "second": a} for p, a, b in pairs]
        shown_first = self.model.log_odds(asked).sigmoid().tolist()
        shown_second = [1 - p for p in self.model.log_odds(turned).sigmoid().tolist()]
        both = list(zip(shown_first, shown_second, strict=True))
        values = {
            f"win_rate/{label}": [(a + b) / 2 for a, b in both],
            f"{label}/first": [(a + 1 - b) / 2 for a, b in both],
            f"{label}/agrees": [float((a > 0.5) == (b > 0.5)) for a, b in both],
        }
        units = [prompt.id for prompt in rollout.prompts]
        measures = {n: intervals.bounded_mean(v, units=units) for n, v in values.items()}
        wins = f"win_rate/{label}"
        measures[wins] = rate(values[wins], units, rollout.texts, subject.baseline.texts)
        return Evaluation(measures, values)
