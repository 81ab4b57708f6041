"""Configs of what keeps groups of people apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from preflab import option
from preflab.memory import Load
from preflab_builtin.reward_model.config import KwiseConfig


class Welfare(StrEnum):
    """How the groups' rewards become one: a judgement of value, which no data makes."""

    population = "population"
    equal = "equal"
    weights = "weights"
    worst = "worst"


@dataclass
class KwiseGroupsConfig:
    """A reward model with one trunk and a head for each group of labelers; each ranking trains the
    head of its labeler's group, and one without a group all heads."""

    name: str = option("kwise_groups", "component")
    kwise: Any = option(None, "the kwise reward model whose options the training has")
    shrink: float = option(
        0.01,
        "added to the loss: this times the sum over groups of the squared distance of a group's "
        "head to the pooled head (the mean of the heads, weighted by their rankings); 0: groups "
        "share the trunk alone",
        ge=0,
    )
    welfare: Welfare = option(
        Welfare.population,
        "how the groups' rewards become one: population (each group by its share of the rankings, "
        "what one reward model for all does), equal, weights, or worst (the lowest of the groups' "
        "rewards, each less its mean over the responses to the prompt)",
    )
    weights: dict[str, float] = option(
        factory=dict,
        doc="welfare=weights: weight of a group by its name, divided by their sum; a group that is "
        "missing has 0",
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def needs(self) -> Sequence[str]:
        """What the training needs."""
        return self.kwise.needs() if isinstance(self.kwise, KwiseConfig) else ()

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """That of the training; nothing for one that is not kwise, which `check` refuses."""
        kwise = isinstance(self.kwise, KwiseConfig)
        return self.kwise.load(tokens, records) if kwise else Load(0, 0, tokens, passes=0)

    def fine_tunes(self) -> bool:
        """As the training says."""
        return isinstance(self.kwise, KwiseConfig) and self.kwise.fine_tunes()

    def check(self) -> Iterator[tuple[str, str]]:
        """The training is kwise, and weights are given where they are used."""
        if not isinstance(self.kwise, KwiseConfig):
            yield "kwise", "must be a reward model kwise (reward_model@reward_model.kwise=kwise)"
        elif self.kwise.seed is not None:
            yield "kwise.seed", "is not read: set reward_model.seed"
        yield from _wrong_weights(self.welfare, self.weights)


@dataclass
class PretrainedGroupsConfig:
    """A folder that reward_model=kwise_groups wrote: the same heads under any welfare, without
    training them again."""

    name: str = option("pretrained_groups", "component")
    path: str = option(
        "",
        "folder of the reward model, or of a run that trained one; its tokenizer must be the "
        "policy's",
        affects_result=False,
    )
    welfare: Welfare = option(
        Welfare.population, "how the groups' rewards become one, as of kwise_groups"
    )
    weights: dict[str, float] = option(
        factory=dict, doc="welfare=weights: weight of a group by its name, as of kwise_groups"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """A path must be given, and weights where they are used."""
        if not self.path:
            yield "path", "is empty but must name the folder of a reward model with heads of groups"
        yield from _wrong_weights(self.welfare, self.weights)


def _wrong_weights(welfare: Welfare, weights: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """What is wrong with the weights of a welfare, by key."""
    if welfare is not Welfare.weights:
        if weights:
            yield "weights", f"are given but only welfare=weights has them, not {welfare}"
        return
    if not weights:
        yield "weights", "are missing: welfare=weights needs one for a group"
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            yield f"weights.{name}", f"is {weight} but must be 0 or more, and finite"
    if weights and not any(weights.values()):
        yield "weights", "are all 0: one group at least must count"


@dataclass
class GroupsConfig:
    """What each group of simulated people gets: utility and win rate, worst group first, and how
    far groups agree."""

    name: str = option("groups", "component")

    def measured(self) -> tuple[str, ...]:
        """Utility, win rate, agreement."""
        agreement = (f"group_agreement/{what}" for what in ("within", "between", "divided"))
        return ("group_utility/*", "group_win_rate/*", *agreement)


@dataclass
class GroupAgreementConfig:
    """How far people who ranked the same responses agree, within groups and between them."""

    name: str = option("group_agreement", "component")

    def measured(self) -> tuple[str, ...]:
        """Agreement."""
        return ("ranked_agreement/within", "ranked_agreement/between")
