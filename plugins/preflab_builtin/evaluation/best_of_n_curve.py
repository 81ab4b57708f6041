"""Best-of-n for every n from one pool of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from preflab import intervals
from preflab.functional import best_of_n_kl_bound
from preflab.interfaces import Context, Evaluation, Measure, Subject
from preflab.responders import Adjusted
from preflab_builtin.evaluation.config import BestOfNCurveConfig
from preflab_builtin.evaluation.forward import scores
from preflab_builtin.evaluation.judges import gold_parts


def expected_best(rewards: Sequence[float], values: Sequence[float], n: int) -> float:
    """Expected value of the sample with the highest reward among n drawn from N without
    replacement: the unbiased estimate of best-of-n (Nakano et al. 2021, appendix I).

    rewards, values: [N]. With samples in ascending order of reward, the i-th is the best of
    C(i - 1, n - 1) of the C(N, n) subsets; samples of equal reward share their places.

    >>> round(expected_best([3.0, 1.0, 2.0], [30.0, 10.0, 20.0], 2), 3)  # best of 3 pairs: 2, 3, 3
    26.667
    """
    reward, value = np.asarray(rewards), np.asarray(values, dtype=float)
    order = np.argsort(reward, kind="stable")
    reward, value = reward[order], value[order]
    _, group = np.unique(reward, return_inverse=True)
    value = (np.bincount(group, value) / np.bincount(group))[group]
    total = math.comb(len(value), n)
    return float(sum(math.comb(i, n - 1) / total * value[i] for i in range(n - 1, len(value))))


class BestOfNCurve:
    """LABEL/N/reward, LABEL/N/gold (where the truth is known) and LABEL/N/kl (the upper bound)."""

    def __init__(self, config: BestOfNCurveConfig, context: Context) -> None:
        self.config, self.context = config, context

    def evaluate(self, subject: Subject) -> Evaluation:
        """Sample one pool per prompt, then compute every n from it."""
        prompts, pool = list(subject.rollout.prompts)[: self.config.prompts], self.config.pool
        engine = Adjusted(self.context.rollout(), subject.prefix)
        policy = self.context.sampled_policy("initial")
        sampling = replace(engine.sampling, samples=pool)
        rollout = engine.generate(
            policy, prompts, sampling, (self.context.seed, "evaluation", "best of n")
        )
        reward = scores(self.context.reward_model(), rollout)
        columns = {"reward": reward}
        if self.context.gold is not None:
            columns["gold"] = gold_parts(self.context.gold, rollout)["gold"]
        measures: dict[str, Measure] = {}
        for n in (2**k for k in range(pool.bit_length())):
            for name, column in columns.items():
                pools = [slice(i * pool, (i + 1) * pool) for i in range(len(prompts))]
                best = [expected_best(reward[rows], column[rows], n) for rows in pools]
                mean = intervals.mean(best, [prompt.id for prompt in prompts])
                measures[f"{self.config.label}/{n}/{name}"] = mean
            measures[f"{self.config.label}/{n}/kl"] = Measure(best_of_n_kl_bound(n))
        return Evaluation(measures)
