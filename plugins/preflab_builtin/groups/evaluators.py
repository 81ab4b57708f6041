"""Configs of the evaluators of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from preflab import option


@dataclass
class HiddenContextConfig:
    """How much of what held-out responses are worth is told by the responses, and how much by who
    is asked, as reward_model=kwise_mean_variance sees it."""

    name: str = option("hidden_context", "component")

    def measured(self) -> tuple[str, ...]:
        """The shares."""
        return ("hidden_context/explained", "hidden_context/explained_within")


@dataclass
class GroupHeadsConfig:
    """How far each group's head tells held-out responses apart, and how often it is right about its
    own group, and how much better it predicts it than one reward for all."""

    name: str = option("group_heads", "component")

    def measured(self) -> tuple[str, ...]:
        """Spread, accuracy and loss."""
        losses = (f"group_loss/{what}" for what in ("own", "together", "gain"))
        return ("group_spread/*", "group_accuracy/*", *losses)


class Asked(StrEnum):
    """Who is asked what a group gets."""

    people = "people"
    heads = "heads"


@dataclass
class GroupsConfig:
    """What each group of people gets: utility and win rate, worst group first, and how far groups
    agree."""

    name: str = option("groups", "component")
    asks: Asked = option(
        Asked.people,
        "people (simulated ones, exactly), or heads: each group's own head of the reward model "
        "says what a response is worth to it, for real people, whom nobody can ask about new "
        "responses",
    )
    always: bool = option(
        True,
        "false: only in runs that keep groups of people apart (labeler.conflict, or a reward "
        "model with heads of groups)",
        affects_result=False,
    )

    def if_wanted(self) -> bool:
        """Left out where nobody wants to know."""
        return not self.always

    def needs(self) -> Sequence[str]:
        """Whom it asks."""
        return ("reward_model",) if self.asks is Asked.heads else ("labeler:any",)

    def measured(self) -> tuple[str, ...]:
        """Utility, what is gained or paid, win rate, agreement."""
        if self.asks is Asked.heads:
            return tuple(f"group_head_{what}/*" for what in ("reward", "gain", "win_rate"))
        agreement = (f"group_agreement/{what}" for what in ("within", "between", "divided"))
        return ("group_utility/*", "group_gain/*", "group_win_rate/*", *agreement)


@dataclass
class GroupAgreementConfig:
    """How far people who ranked the same responses agree, within groups and between them, and on
    which the majorities of groups differ."""

    name: str = option("group_agreement", "component")

    def measured(self) -> tuple[str, ...]:
        """Agreement."""
        return tuple(f"ranked_agreement/{what}" for what in ("within", "between", "divided"))
