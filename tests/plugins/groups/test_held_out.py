"""What heads do on held-out rankings, by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.interfaces import Measure, Subject
from preflab.records import Prompt, Ranking, Rollout
from preflab_builtin.groups.evaluators import GroupHeadsConfig
from preflab_builtin.groups.held_out import HeldOutHeads, root
from support import FakeContext

WORTH = {"few": {"yes": 0.0, "no": 2.0}, "many": {"yes": 4.0, "no": 0.0}}


class Fixed:
    """`preflab.interfaces.OfMembers`: what each group thinks of a response."""

    def members(self, rollout: Rollout) -> Mapping[str, torch.Tensor]:
        return {
            name: torch.tensor([own[text] for text in rollout.texts]) for name, own in WORTH.items()
        }

    def together(self, members: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return sum(members.values(), torch.zeros(()))

    def score(self, rollout: Rollout) -> torch.Tensor:
        return self.together(self.members(rollout))


def said(group: str, *better: str) -> list[Ranking]:
    """Held-out rankings of yes and no, each about a prompt of its own."""
    texts = ("yes", "no")
    return [
        Ranking(
            Prompt(f"{group}-{i}", "add", split="test"),
            texts,
            ((texts.index(word), 1 - texts.index(word)),),
            f"{group}-{i}",
            group,
        )
        for i, word in enumerate(better)
    ]


def test_spread_and_accuracy_by_hand(tmp_path: Path) -> None:
    rankings = [*said("few", "no", "no", "yes"), *said("many", "yes"), *said("new", "yes")]
    reward: Any = Fixed()
    context = FakeContext(tmp_path, rankings, reward=reward, vocabulary=["yes", "no", "add"])
    subject: Any = Subject
    found = HeldOutHeads(GroupHeadsConfig(), context).evaluate(subject).measures
    # By their own reward the pairs of the few have margins 2, 2 and -2, that of the many has 4. The
    # run's is the sum, 4 for yes and 2 for no: margins -2, -2, 2 and 2.
    own, together = (
        sum(math.log1p(math.exp(-margin)) for margin in margins) / 4
        for margins in ((2, 2, -2, 4), (-2, -2, 2, 2))
    )
    losses = {"own": own, "together": together, "gain": together - own}
    losses = {f"group_loss/{name}": value for name, value in losses.items()}
    assert found["group_loss/gain"].n == 4  # people, each with a pair of theirs
    # The variance of 0 and 2 is 2, that of 4 and 0 is 8. Two of the few's three pairs are right by
    # their own head. A group without a head has no accuracy.
    assert {name: measure.value for name, measure in found.items()} == pytest.approx(
        {
            "group_spread/few": math.sqrt(2),
            "group_spread/many": math.sqrt(8),
            "group_accuracy/few": 2 / 3,
            "group_accuracy/many": 1.0,
            **losses,
        }
    )


def test_roots_of_a_measure_without_an_interval() -> None:
    found = root(Measure(4.0, -1.0, math.nan))
    assert (found.value, found.low) == (2.0, 0.0)
    assert math.isnan(found.high)


def test_one_reward_for_all_is_refused(tmp_path: Path) -> None:
    class Alone:
        def score(self, rollout: Rollout) -> torch.Tensor:
            return torch.zeros(len(rollout))

    context = FakeContext(tmp_path, said("few", "no"), reward=Alone())
    with pytest.raises(UserError, match=r"group_heads.*kwise_groups"):
        HeldOutHeads(GroupHeadsConfig(), context)


def test_two_prompts_with_one_id_are_two(tmp_path: Path) -> None:
    texts = ("yes", "no")
    rankings = [
        Ranking(Prompt("p", text, split="test"), texts, ((1, 0),), "a", "few")
        for text in ("add", "yes", "yes")
    ]
    reward: Any = Fixed()
    context = FakeContext(tmp_path, rankings, reward=reward, vocabulary=["yes", "no", "add"])
    subject: Any = Subject
    found = HeldOutHeads(GroupHeadsConfig(), context).evaluate(subject).measures
    assert (found["group_spread/few"].n, found["group_accuracy/few"].n) == (2, 2)
