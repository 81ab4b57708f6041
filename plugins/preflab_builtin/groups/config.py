"""Configs of what keeps groups of people apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from preflab import option
from preflab.memory import Load
from preflab_builtin.baselines.config import BestOfNConfig
from preflab_builtin.groups.counting import counted
from preflab_builtin.groups.prefixes import filled, prefixes
from preflab_builtin.microworld.config import WHAT_GROUPS_GET
from preflab_builtin.on_policy.config import OnPolicyConfig
from preflab_builtin.reward_model.config import (
    KwiseConfig,
    PretrainedRewardConfig,
    RankingLoss,
    no_path,
    of_pairs,
)

if TYPE_CHECKING:
    from preflab.interfaces import Context


class Welfare(StrEnum):
    """How the groups' rewards become one: a judgement of value, which no data makes."""

    population = "population"
    equal = "equal"
    weights = "weights"
    worst = "worst"


KWISE = "the kwise reward model whose options the training has"


def needs_of(kwise: Any) -> Sequence[str]:
    """What the training needs: it is no part that can be left out."""
    return kwise.needs() if isinstance(kwise, KwiseConfig) else ()


def load_of(kwise: Any, tokens: int, records: Mapping[str, int]) -> Load:
    """That of a training as ``kwise`` has it, with other heads; nothing for one that `not_kwise`
    refuses."""
    trained = isinstance(kwise, KwiseConfig)
    return kwise.load(tokens, records) if trained else Load(0, 0, tokens, passes=0)


def not_kwise(kwise: Any) -> Iterator[tuple[str, str]]:
    """A training that is not that of ``kwise``."""
    if not isinstance(kwise, KwiseConfig):
        yield "kwise", "must be a reward model kwise (reward_model@reward_model.kwise=kwise)"
    elif kwise.seed is not None:
        yield "kwise.seed", "is not read: set reward_model.seed"


@dataclass
class Weighing:
    """How the groups' rewards become one reward, whatever heads they come from."""

    name: str = option("", "component")
    welfare: Welfare = option(
        Welfare.population,
        "how the groups' rewards become one: population (each group by its share of the rankings, "
        "what one reward model for all does), equal, weights, or worst (the lowest of the groups' "
        "rewards, each less its mean over the responses to the prompt)",
        in_use=True,
    )
    weights: dict[str, float] = option(
        factory=dict,
        doc="welfare=weights: weight of a group by its name, divided by their sum; a group that is "
        "missing has 0",
        in_use=True,
    )
    weights_by_tag: dict[str, dict[str, float]] = option(
        factory=dict,
        doc="weights of the groups for prompts with a tag, by the tag, in the place of those of "
        "the welfare; of several such tags of a prompt the mean counts",
        in_use=True,
    )
    standardise: bool = option(
        False,
        "give the groups' rewards the same standard deviation over the responses to a prompt, the "
        "mean of their own: a weight then counts as it stands, however sure a head is",
        in_use=True,
    )

    def of_members(self) -> bool:
        """Whether the reward is a function of each group's alone."""
        return self.welfare is not Welfare.worst and not self.weights_by_tag

    def begins_copies(self) -> bool:
        """A value network begins as the weighted sum of the heads, on weights of its own."""
        return True

    def to_be_measured(self) -> Mapping[str, Sequence[str]]:
        """What the choice does to groups, which heads can say too."""
        more = ("group_head_win_rate/a group",)
        return {said: (*measures, *more) for said, measures in WHAT_GROUPS_GET.items()}

    def weighed(self) -> list[tuple[str, str]]:
        """Every group that is given a weight, with the key of its weights."""
        by_key = {"weights": self.weights}
        by_key |= {f"weights_by_tag.{tag}": own for tag, own in self.weights_by_tag.items()}
        return [(key, name) for key, own in by_key.items() for name in own]

    def check(self) -> Iterator[tuple[str, str]]:
        """Weights are given where they are used."""
        if self.welfare is Welfare.weights:
            yield from _wrong_weights("weights", self.weights)
        elif self.weights:
            yield "weights", f"are given but only welfare=weights has them, not {self.welfare}"
        if self.weights_by_tag and self.welfare is Welfare.worst:
            yield "weights_by_tag", "are given but welfare=worst has no weights"
        for tag, own in self.weights_by_tag.items():
            yield from _wrong_weights(f"weights_by_tag.{tag}", own)


def _wrong_weights(key: str, weights: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """What is wrong with weights of groups, by key."""
    if not weights:
        yield key, "are missing: give one for a group at least"
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            yield f"{key}.{name}", f"is {weight} but must be 0 or more, and finite"
    if weights and not any(weights.values()):
        yield key, "are all 0: one group at least must count"


@dataclass
class KwiseGroupsConfig(Weighing):
    """A reward model with one trunk and a head for each group of labelers; each ranking trains the
    head of its labeler's group, and one without a group all heads."""

    name: str = option("kwise_groups", "component")
    kwise: Any = option(None, KWISE)
    shrink: float = option(
        0.01,
        "added to the loss: this times the sum over groups of the squared distance of a group's "
        "head to the pooled head (the mean of the heads, weighted by their rankings); 0: groups "
        "share the trunk alone",
        ge=0,
    )
    head_rate: float = option(
        10.0,
        "learning rate of the heads as a multiple of the trunk's: heads of groups that want the "
        "opposite are far apart",
        gt=0,
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def needs(self) -> Sequence[str]:
        """What the training needs."""
        return needs_of(self.kwise)

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """That of the training."""
        return load_of(self.kwise, tokens, records)

    def member_names(self, context: Context) -> Sequence[str]:
        """The groups of the rankings that the data gives, or of the simulated people who label."""
        from preflab_builtin.microworld.labelers import SimulatedLabelers

        if context.has("rankings"):
            return list(counted(context.rankings("train")))
        labeler = context.labeler()
        people = labeler.people if isinstance(labeler, SimulatedLabelers) else ()
        return sorted({person.group for person in people})

    def check(self) -> Iterator[tuple[str, str]]:
        """The training is kwise, and weights are given where they are used."""
        yield from not_kwise(self.kwise)
        yield from super().check()


@dataclass
class PretrainedGroupsConfig(Weighing):
    """A folder that reward_model=kwise_groups wrote: the same heads under any welfare, without
    training them again."""

    name: str = option("pretrained_groups", "component")
    path: str = option(
        "",
        "folder of the reward model, or of a run that trained one; its tokenizer must be the "
        "policy's",
        affects_result=False,
    )

    def member_names(self, context: Context) -> Sequence[str]:
        """The groups of its heads."""
        from preflab_builtin.reward_model.folder import located

        return context.load_heads(located(PretrainedRewardConfig(path=self.path))).names

    def check(self) -> Iterator[tuple[str, str]]:
        """A path must be given, and weights where they are used."""
        yield from no_path(self.path, "a reward model with heads of groups")
        yield from super().check()


QUANTILE = (
    "share of the people who value a response less than its reward says: 0.1 is wary of what "
    "divides people; null: the mean"
)


@dataclass
class MeanVarianceConfig:
    """A reward model for people whose groups nobody knows (Siththaranjan et al. 2024, arXiv
    2312.08358): of each response the mean and the variance of what it is worth to people."""

    name: str = option("kwise_mean_variance", "component")
    kwise: Any = option(None, KWISE)
    quantile: float | None = option(None, QUANTILE, gt=0, lt=1, in_use=True)
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def of_variance(self) -> bool:
        """The reward says how much people differ."""
        return True

    def begins_copies(self) -> bool:
        """A value network begins as the mean alone, on weights of its own."""
        return True

    def needs(self) -> Sequence[str]:
        """What the training needs."""
        return needs_of(self.kwise)

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """That of the training."""
        return load_of(self.kwise, tokens, records)

    def check(self) -> Iterator[tuple[str, str]]:
        """The training is kwise, and has no options of another loss."""
        yield from not_kwise(self.kwise)
        if isinstance(self.kwise, KwiseConfig):
            own = "this model has a loss of its own"
            if self.kwise.loss is not RankingLoss.pairs:
                yield "kwise.loss", f"is {self.kwise.loss} but {own}: leave it at pairs"
            for name, wrong in of_pairs(self.kwise, own):
                yield f"kwise.{name}", wrong


@dataclass
class PretrainedMeanVarianceConfig:
    """A folder that reward_model=kwise_mean_variance wrote, used at any quantile."""

    name: str = option("pretrained_mean_variance", "component")
    path: str = option(
        "",
        "folder of the reward model, or of a run that trained one; its tokenizer must be the "
        "policy's",
        affects_result=False,
    )
    quantile: float | None = option(None, QUANTILE, gt=0, lt=1)

    def of_variance(self) -> bool:
        """The reward says how much people differ."""
        return True

    def begins_copies(self) -> bool:
        """A value network begins as the mean alone, on weights of its own."""
        return True

    def check(self) -> Iterator[tuple[str, str]]:
        """A path must be given."""
        yield from no_path(self.path, "a kwise_mean_variance model")


@dataclass
class ForGroupsConfig:
    """One policy that is told whose preferences count: each prompt is asked for each group, with a
    prefix in front, and a response is worth what that group's own reward says of it."""

    name: str = option("for_groups", "component")
    algorithm: Any = option(
        None, "what learns it: an on-policy algorithm (ppo, grpo); or best_of_n, which trains none"
    )
    prefix: str = option(
        "{number} : ",
        "text in front of the prompt, which the policy reads and nobody who judges: {group} is the "
        "group's name, {number} its place in alphabetical order; empty: none (best_of_n)",
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def needs(self) -> Sequence[str]:
        """Rewards by group; the algorithm says what else."""
        return ("reward_model", "reward_model:members")

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """That of the algorithm."""
        trained = isinstance(self.algorithm, OnPolicyConfig)
        return self.algorithm.load(tokens, records) if trained else Load(0, 0, tokens, passes=0)

    def words(self, context: Context) -> dict[str, str]:
        """The prefix of each group, as far as the groups are known before the work."""
        return prefixes(self.prefix, context.members())

    def in_front(self, context: Context) -> Sequence[str]:
        """The prefixes. Where the groups are not known yet, what is common to all."""
        return tuple(self.words(context).values()) or (filled(self.prefix, "", 1),)

    def shared(self) -> tuple[str, ...]:
        """As the algorithm says."""
        trained = isinstance(self.algorithm, OnPolicyConfig)
        return self.algorithm.shared() if trained else ()

    def offloaded(self) -> tuple[str, ...]:
        """As the algorithm says."""
        trained = isinstance(self.algorithm, OnPolicyConfig)
        return self.algorithm.offloaded() if trained else ()

    def check(self) -> Iterator[tuple[str, str]]:
        """The algorithm asks a reward model about its own samples, and a policy that learns is told
        for whom."""
        key, own = "algorithm", self.algorithm
        if not isinstance(own, (OnPolicyConfig, BestOfNConfig)):
            yield key, "must be on-policy or best_of_n (algorithm@algorithm.algorithm=ppo)"
            return
        if getattr(own, "seed", None) is not None:
            yield f"{key}.seed", "is not read: set algorithm.seed"
        if getattr(own, "continues", ""):
            yield f"{key}.continues", "does not work inside for_groups: train anew"
        try:
            told = [self.prefix.format_map({"group": g, "number": g}) for g in ("1", "2")]
        except (KeyError, ValueError, IndexError, AttributeError, TypeError):
            yield "prefix", f"is {self.prefix!r}, whose places may be {{group}} and {{number}} only"
            return
        if self.prefix and told[0] == told[1]:
            yield "prefix", "is the same for all groups: put {group} or {number} into it"
        if not self.prefix and isinstance(own, OnPolicyConfig):
            yield "prefix", "is empty: a policy that learns cannot know for whom it answers"
