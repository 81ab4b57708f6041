"""What each group gets by its own head, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.interfaces import Evaluation
from preflab.records import Prompt, Rollout
from preflab_builtin.groups.asking import groups
from preflab_builtin.groups.evaluators import Asked, GroupsConfig
from preflab_builtin.groups.scoring import JoinedReward, WeightedReward
from preflab_builtin.report.columns import columns, is_share
from support import FakeContext

WORTH = {"few": {"yes": 0.0, "no": 2.0, "well": 2.0}, "many": {"yes": 4.0, "no": 0.0, "well": 1.0}}
PROMPTS = [Prompt(str(i), "add", split="test") for i in range(3)]
WORDS = ["add", "yes", "no", "well"]


class Fixed:
    """What `preflab_builtin.groups.scoring.GroupRewards` has for an evaluator."""

    model = SimpleNamespace(names=tuple(WORTH))

    def __init__(self) -> None:
        self.asked = 0

    def named(self, rollout: Rollout) -> dict[str, torch.Tensor]:
        self.asked += 1
        return {
            name: torch.tensor([own[text] for text in rollout.texts]) for name, own in WORTH.items()
        }


class Says:
    """`preflab.interfaces.AnswersGroups`: yes to the many alone."""

    policy: Any = None
    groups = ("many",)

    def __init__(self, context: FakeContext) -> None:
        self.context = context

    def respond_for(
        self, asked: list[str], prompts: list[Prompt], seed: tuple[int | str, ...]
    ) -> Rollout:
        assert set(asked) == {"many"}
        return Rollout.from_texts(self.context.tokenizer, prompts, ["yes"] * len(prompts))

    def groups_for(self, prompts: Any, seed: Any) -> list[str]:
        return ["many"] * len(prompts)

    def as_typed(self) -> Says:
        return self

    def respond(self, prompts: Any, seed: Any) -> Rollout:
        raise AssertionError


def evaluated(
    folder: Path, said: list[str], against: list[str] | None, answers_groups: bool = False
) -> tuple[Evaluation, int]:
    """The result, and how often the heads were asked."""
    heads: Any = Fixed()
    context = FakeContext(folder, reward=WeightedReward(heads), vocabulary=WORDS)
    first, second = (
        None if texts is None else Rollout.from_texts(context.tokenizer, PROMPTS, texts)
        for texts in (said, against)
    )
    responder = Says(context) if answers_groups else None
    subject: Any = SimpleNamespace(rollout=first, baseline=second, responder=responder)
    evaluator = groups(GroupsConfig(asks=Asked.heads), context)
    return evaluator.evaluate(subject), heads.asked


def test_gains_and_win_rates_by_hand_the_worst_first(tmp_path: Path) -> None:
    found, asked = evaluated(tmp_path, ["yes", "yes", "well"], ["no", "yes", "no"])
    # few: 0 0 2 against 2 0 2; many: 4 4 1 against 0 4 0
    assert {name: measure.value for name, measure in found.measures.items()} == pytest.approx(
        {
            "group_head_reward/few": 2 / 3,
            "group_head_reward/many": 3,
            "group_head_gain/few": -2 / 3,
            "group_head_gain/many": 5 / 3,
            "group_head_win_rate/few": (0 + 0.5 + 0.5) / 3,
            "group_head_win_rate/many": (1 + 0.5 + 1) / 3,
            "group_head_win_rate/others": 2.5 / 3,
        }
    )
    first_words = [name.partition("/")[2] for name in found.measures]
    assert first_words == ["few", "many", "few", "many", "few", "many", "others"]
    assert found.values["group_head_win_rate/few"] == [0, 0.5, 0.5]
    assert asked == 2  # of the responses and of the baseline's, all heads at once
    assert "its own head" in found.notes[0]
    alone, _ = evaluated(tmp_path, ["yes", "yes", "well"], None)
    assert list(alone.measures) == ["group_head_reward/few", "group_head_reward/many"]


def test_each_head_judges_what_is_said_to_its_group(tmp_path: Path) -> None:
    found, _ = evaluated(tmp_path, ["no", "no", "no"], ["no", "no", "no"], answers_groups=True)
    assert found.measures["group_head_reward/many"].value == 4
    assert found.measures["group_head_win_rate/many"].value == 1
    assert found.measures["group_head_reward/few"].value == 2
    assert found.measures["group_head_win_rate/few"].value == 0.5


def test_heads_are_asked_under_every_welfare_and_refused_where_there_are_none(
    tmp_path: Path,
) -> None:
    class Alone:
        def score(self, rollout: Rollout) -> torch.Tensor:
            return torch.zeros(len(rollout))

    heads: Any = Fixed()
    joined = JoinedReward(heads, lambda rewards, prompts: rewards.amin(1))
    assert groups(GroupsConfig(asks=Asked.heads), FakeContext(tmp_path, reward=joined))
    context = FakeContext(tmp_path, reward=Alone())
    with pytest.raises(UserError, match="kwise_groups or pretrained_groups"):
        groups(GroupsConfig(asks=Asked.heads), context)
    subject: Any = None
    nothing = groups(GroupsConfig(asks=Asked.heads, always=False), context).evaluate(subject)
    assert not nothing.measures
    assert "kwise_groups" in nothing.notes[0]


def test_they_are_columns_of_their_own(tmp_path: Path) -> None:
    found, _ = evaluated(tmp_path, ["yes", "yes", "well"], ["no", "yes", "no"])
    arm: Any = SimpleNamespace(measures=dict(found.measures))
    shown = [(column.group, column.heading, column.percent) for column in columns([arm])]
    assert shown[:2] == [("Group head reward", "few", False), ("Group head reward", "many", False)]
    assert ("Group head win rate", "few", True) in shown
    assert is_share("group_head_win_rate/few")
