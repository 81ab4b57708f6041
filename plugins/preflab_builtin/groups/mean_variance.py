"""Where groups are unknown: of each response the mean and the variance of what it is worth to
people (distributional preference learning: Siththaranjan, Laidlaw and Hadfield-Menell 2024, arXiv
2312.08358). Shapes: B rows, K responses."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist

import torch

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import Context, Evaluation, HeadsModel, Policy, ScalarModel, Subject
from preflab.records import Ranking, Rollout
from preflab.runtime import Runtime
from preflab.sharding import gathered, parted
from preflab_builtin.causal_lm.weights import check_finite
from preflab_builtin.evaluation.forward import question
from preflab_builtin.groups.config import (
    MeanVarianceConfig,
    PretrainedMeanVarianceConfig,
)
from preflab_builtin.groups.evaluators import HiddenContextConfig
from preflab_builtin.groups.folder import located_at
from preflab_builtin.groups.heads import MEAN_VARIANCE, heads_of
from preflab_builtin.groups.held_out import held_out, responses_of
from preflab_builtin.reward_model.heads import OneLoss
from preflab_builtin.reward_model.preflight import refuse_long
from preflab_builtin.reward_model.scoring import raw_scores
from preflab_builtin.reward_model.training import KwiseTraining

ASKS_BOTH = (
    "evaluators: hidden_context asks a reward model of mean and variance: choose "
    "reward_model=kwise_mean_variance, or leave the evaluator out."
)


def probit_loss(values: torch.Tensor, preferences: Sequence[tuple[int, int]]) -> torch.Tensor:
    """The mean over the (better, worse) pairs of a ranking of
    -log Phi((mean_better - mean_worse) / sqrt(variance_better + variance_worse)).

    values [K, 2]: mean and log-variance of each response, worth independent normal amounts to a
    person drawn for each. The authors' code puts a sigmoid of like slope in the place of Phi and a
    softplus in that of the exponential."""
    if not preferences:
        return values.sum() * 0.0
    better, worse = torch.as_tensor(list(preferences), device=values.device).unbind(1)
    mean, log_variance = values.unbind(1)
    spread = torch.logaddexp(log_variance[better], log_variance[worse]).mul(0.5).exp()
    likely: torch.Tensor = torch.special.log_ndtr((mean[better] - mean[worse]) / spread)
    return -likely.mean()


def valued(values: torch.Tensor, quantile: float | None) -> torch.Tensor:
    """Rewards [B] of means and log-variances [B, 2]: the mean, or the quantile of the normal
    distribution."""
    mean, log_variance = values.unbind(1)
    if quantile is None:
        return mean
    return mean + NormalDist().inv_cdf(quantile) * log_variance.mul(0.5).exp()


class MeanVarianceHeads:
    """`preflab_builtin.reward_model.heads.Heads`: every ranking trains both numbers."""

    model: HeadsModel
    rate = 1.0

    def make(self, policy: Policy, generator: torch.Generator, rankings: Sequence[Ranking]) -> None:
        """The policy's model with two heads; every variance begins as 1."""
        self.model = heads_of(policy, generator, MEAN_VARIANCE)
        weights = self.model.weights.detach()
        # As a whole: a row of divided weights is a copy, and what is written to it is lost.
        mean, log_variance = gathered(weights)
        weights.copy_(parted(torch.stack([mean, torch.zeros_like(log_variance)]), weights))

    def rewards(self, values: torch.Tensor, ranking: Ranking) -> Sequence[torch.Tensor]:
        """The means: the more probable one of a pair has the higher."""
        return [values[:, 0]]

    def loss(self, values: torch.Tensor, ranking: Ranking, own: OneLoss) -> torch.Tensor:
        """`probit_loss`."""
        return probit_loss(values, ranking.preferences)

    def penalty(self) -> torch.Tensor | None:
        """Nothing."""
        return None

    def centre(self, means: Sequence[float]) -> None:
        """Of the mean alone: a variance has a zero."""
        self.model.offsets = (means[0], 0.0)

    def trained(self, values: Callable[[], Sequence[torch.Tensor]]) -> None:
        """Nothing."""

    def accounting(self) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def metrics(self) -> Mapping[str, float]:
        """Nothing."""
        return {}


class MeanVarianceReward:
    """`preflab.interfaces.RewardModel`, `HasNetwork` and `HasNetworks`."""

    def __init__(self, model: HeadsModel, quantile: float | None, runtime: Runtime) -> None:
        self.model, self.quantile, self.runtime = model, quantile, runtime
        model.module.requires_grad_(False)

    @property
    def network(self) -> ScalarModel:
        """One head, the mean: what value functions start from."""
        return self.model.weighted((1.0, 0.0))

    @property
    def networks(self) -> Sequence[HeadsModel]:
        """The one with both heads."""
        return [self.model]

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        return valued(both(self, rollout), self.quantile)


def both(reward: MeanVarianceReward, rollout: Rollout) -> torch.Tensor:
    """Mean and log-variance of each response, [B, 2] float32."""
    if not len(rollout):
        return torch.zeros(0, 2, device=reward.runtime.device)
    scores = raw_scores(reward.model, rollout, reward.runtime)
    return scores - scores.new_tensor(reward.model.offsets)


def mean_variance_training(config: MeanVarianceConfig, context: Context) -> KwiseTraining:
    """`preflab.interfaces.Procedure`: that of the kwise reward model."""
    return KwiseTraining(config.kwise, context, MeanVarianceHeads())


def mean_variance(config: MeanVarianceConfig, context: Context) -> MeanVarianceReward:
    """The reward model that the stage made."""
    model = context.load_heads(context.folder / "model")
    return MeanVarianceReward(model, config.quantile, context.runtime)


def pretrained(config: PretrainedMeanVarianceConfig, context: Context) -> MeanVarianceReward:
    """The reward model in a folder."""
    model = both_heads(context, located_at(config.path))
    return MeanVarianceReward(model, config.quantile, context.runtime)


def preflight(config: PretrainedMeanVarianceConfig, context: Context) -> Iterator[str]:
    """`UserError` for a model that is broken, is another, or has fewer positions than a prompt and
    its response need."""
    folder = located_at(config.path)
    check_finite(folder)
    refuse_long(both_heads(context, folder).max_positions, context)
    yield from ()


def both_heads(context: Context, folder: Path) -> HeadsModel:
    """The model in a folder; `UserError` if its heads are others."""
    model = context.load_heads(folder)
    if model.names != MEAN_VARIANCE:
        raise UserError(
            f"{folder} has the heads {', '.join(model.names)}, and no mean and variance. If its "
            "heads are of groups, choose reward_model=pretrained_groups."
        )
    return model


class HiddenContext:
    """hidden_context/explained: the paper's r^2, Var(mean) / (Var(mean) + mean variance) over the
    responses of held-out rankings: of the variance of what a response is worth to a person, the
    share that is told by the response; the rest is told by what the model does not see: who is
    asked, and noise. hidden_context/explained_within: the same with the variance of the means
    within prompts, since rankings say nothing about the difference between two prompts. A unit of
    the interval is a prompt, however many people ranked its responses. A scale common to means and
    deviations plays no part."""

    def __init__(self, config: HiddenContextConfig, context: Context) -> None:
        reward = context.reward_model()
        if not isinstance(reward, MeanVarianceReward):
            raise UserError(ASKS_BOTH)
        self.reward, self.context = reward, context
        self.rankings = held_out(context)

    def evaluate(self, subject: Subject) -> Evaluation:
        """The responses of the run play no part."""
        rollout = responses_of(self.rankings, self.context)
        values = both(self.reward, rollout).double()
        sizes = [len(ranking.responses) for ranking in self.rankings]
        measures = {}
        for name, within in (("explained", False), ("explained_within", True)):
            squares, totals = (self._by_prompt(x) for x in explained(values, sizes, within))
            measures[f"hidden_context/{name}"] = intervals.bounded_ratio(squares, totals)
        return Evaluation(measures)

    def _by_prompt(self, sums: Sequence[float]) -> list[float]:
        """Sums over the rankings of each prompt."""
        found: dict[Hashable, float] = {}
        for ranking, value in zip(self.rankings, sums, strict=True):
            unit = question(ranking.prompt)
            found[unit] = found.get(unit, 0.0) + value
        return list(found.values())


def explained(
    values: torch.Tensor, sizes: Sequence[int], within: bool
) -> tuple[list[float], list[float]]:
    """For each ranking the sum over its K responses of (mean - centre)^2, and of that and the
    variance: the ratio of both totals is r^2. values: mean and log-variance [B, 2], those of a
    ranking one after the other; sizes: responses of each; within: the centre is the mean of the
    ranking's, not of all, and the squares are scaled by K / (K - 1), as a variance of K is."""
    centre = values[:, 0].mean()
    squares, totals = [], []
    for own in torch.split(values, list(sizes)):
        mean, log_variance = own.unbind(1)
        gap = (mean - (mean.mean() if within else centre)).square().sum()
        if within:
            gap = gap * len(own) / max(1, len(own) - 1)
        squares.append(float(gap))
        totals.append(float(gap + log_variance.exp().sum()))
    return squares, totals
