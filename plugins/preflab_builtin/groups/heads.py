"""The heads of groups while they are trained. Shapes: K responses, G groups, D width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from preflab.errors import UserError, nearest
from preflab.interfaces import HasHeads, HeadsModel, Policy
from preflab.records import Ranking
from preflab_builtin.groups.config import KwiseGroupsConfig
from preflab_builtin.groups.counting import counted, pairs
from preflab_builtin.reward_model.heads import OneLoss

MEAN_VARIANCE = ("mean", "log_variance")
"""The two heads of reward_model=kwise_mean_variance, in a folder's ``id2label``."""
NO_GROUPS = (
    "reward_model=kwise_groups has a head for each group of labelers, and the rankings name {0}. "
    "Give each ranking the group of its labeler (a column 'labeler_group' of a file; groups of "
    "people of a round; labeler.groups), or choose reward_model=kwise."
)


def distance(weights: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Sum over groups of the squared distance of a head, a row of weights [G, D], to the pooled
    head, the mean of the rows with weights shares [G]: a scalar.

    The mean of the data's loss counts a group by its share, and this counts all groups alike, so
    that few rankings leave a head nearer to the pooled one than many do."""
    pooled = (shares / shares.sum()) @ weights
    return (weights - pooled).square().sum()


def spreads(values: Sequence[torch.Tensor]) -> tuple[float, ...]:
    """The standard deviation of each head over the responses to one prompt: the root of the mean
    over prompts of the unbiased variance. values: [K, G] for each prompt, K of 2 or more."""
    variances = torch.stack([own.var(0) for own in values])
    return tuple(variances.mean(0).sqrt().tolist())


def refuse_names(wanted: Iterable[tuple[str, str]], names: Iterable[str], key: str) -> None:
    """`UserError` if there are no two groups, or if weights are given to one that has no ranking.
    wanted: as `Weighing.weighed` has them; key: of the component."""
    known = sorted(set(names))
    if len(known) < 2:
        raise UserError(NO_GROUPS.format(f"only the group {known[0]!r}" if known else "none"))
    for place, name in wanted:
        if name not in known:
            raise UserError(
                f"{key}.{place}.{name}: there is no training ranking of a group {name!r}. "
                f"Groups with rankings: {', '.join(known)}. {nearest(name, known)}"
            )


def heads_of(policy: Policy, generator: torch.Generator, names: Sequence[str]) -> HeadsModel:
    """A model of the policy with a head for each name; `UserError` if it has none."""
    if not isinstance(policy, HasHeads):
        raise UserError("This policy has no models with several heads. Choose reward_model=kwise.")
    return policy.heads_model(generator, names)


class GroupHeads:
    """`preflab_builtin.reward_model.heads.Heads`: a ranking trains the head of its labeler's group.
    One without a group, or of a group without training rankings (in validation), stands for all."""

    model: HeadsModel

    def __init__(self, config: KwiseGroupsConfig, key: str) -> None:
        self._config, self._key = config, key
        self.rate = config.head_rate
        self._penalty = 0.0
        self._pairs: dict[str, int] = {}

    def make(self, policy: Policy, generator: torch.Generator, rankings: Sequence[Ranking]) -> None:
        """One head for each group with rankings, in alphabetical order."""
        counts, self._pairs = counted(rankings), pairs(rankings)
        refuse_names(self._config.weighed(), counts, self._key)
        self.model = heads_of(policy, generator, list(counts))
        total = sum(counts.values())
        self.model.shares = tuple(n / total for n in counts.values())

    def rewards(self, values: torch.Tensor, ranking: Ranking) -> Sequence[torch.Tensor]:
        """values [K, G] -> the rewards [K] by the head of the ranking's group, or by each."""
        names = self.model.names
        if ranking.group in names:
            return [values[:, names.index(ranking.group)]]
        return list(values.unbind(1))

    def loss(self, values: torch.Tensor, ranking: Ranking, own: OneLoss) -> torch.Tensor:
        """The mean over the heads that the ranking trains."""
        return torch.stack([own(rewards) for rewards in self.rewards(values, ranking)]).mean()

    def penalty(self) -> torch.Tensor | None:
        """`distance`, times ``shrink``."""
        shrink = self._config.shrink
        if not shrink:
            return None
        weights = self.model.weights
        penalty = shrink * distance(weights, weights.new_tensor(self.model.shares))
        self._penalty = float(penalty.detach())
        return penalty

    def centre(self, means: Sequence[float]) -> None:
        """An offset for each head."""
        self.model.offsets = tuple(means)

    def trained(self, values: Callable[[], Sequence[torch.Tensor]]) -> None:
        """How far each head tells the responses to a prompt apart."""
        self.model.spreads = spreads(values())

    def accounting(self) -> Mapping[str, float]:
        """The pairs that each group's head learns from."""
        return {f"pairs of {name}": float(number) for name, number in self._pairs.items()}

    def metrics(self) -> Mapping[str, float]:
        """What was added to the loss."""
        return {"reward_model/shrink": self._penalty}
