"""Agreement of a reward model, and of length, with people, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.interfaces import Subject
from preflab.records import Prompt, Ranking, Rollout
from preflab_builtin.evaluation import config as c
from preflab_builtin.evaluation.reward_accuracy import RewardAccuracy
from support import FakeContext


class Lookup:
    """Scores by a table of texts."""

    def __init__(self, table: dict[str, float]) -> None:
        self.table = table

    def score(self, rollout: Rollout) -> torch.Tensor:
        return torch.tensor([self.table[text] for text in rollout.texts])


def _accuracy(
    folder: Path, rankings: Sequence[Ranking], table: dict[str, float], **options: Any
) -> dict[str, Any]:
    context = FakeContext(folder, rankings, reward=Lookup(table))
    nothing = Rollout.from_tokens(context.tokenizer, [], [], [])
    subject = Subject(context.responder("base"), nothing, None, None)
    evaluation = RewardAccuracy(c.RewardAccuracyConfig(**options), context).evaluate(subject)
    return {
        name.removeprefix("reward_accuracy/proxy/").removeprefix("calibration/proxy/"): m
        for name, m in evaluation.measures.items()
    }


def test_reward_accuracy_by_hand(tmp_path: Path) -> None:
    a, b = Prompt("a", "one", split="test", group="g"), Prompt("b", "two", split="test", group="g")
    rankings = [
        # two votes for (0, 1)
        Ranking(a, ("good", "bad", "good good good"), ((0, 1), (0, 1), (2, 0)), group="x"),
        Ranking(b, ("red", "good"), ((0, 1),), group="y"),
    ]
    table = {"good": 1.0, "bad": 0.0, "good good good": 2.0, "red": 1.0}
    measures = _accuracy(tmp_path, rankings, table)  # of two groups of real people, by group too
    # model: (good > bad) twice, (good good good > good); the tie red = good is wrong: 3 of 4
    assert (measures["all"].value, measures["all"].n) == (0.75, 2)
    # length with end tokens 2, 2, 4, 2: tie, tie, longer preferred, tie: (0.5 + 0.5 + 1 + 0.5) / 4
    assert measures["length"].value == 0.625
    assert measures["difference"].value == 0.125
    # |log(4 / 2)| = 0.69 leaves the third pair out: model 2 of 3, length all ties
    assert measures["matched"].value == pytest.approx(2 / 3)
    assert measures["matched_length"].value == 0.5
    assert measures["group/x"].value == 1.0
    assert measures["group/y"].value == 0.0
    assert [name for name in measures if "group" in name] == ["group/y", "group/x"]  # worst first
    assert not [m for m in _accuracy(tmp_path, rankings, table, by_group=False) if "group" in m]
    # differences 1, 1, 1, 0: three times -log sigma(1) = 0.3133 and log 2;
    # three times sigma(1) - 1 = -0.2689 and 0 for the tie
    assert measures["loss"].value == pytest.approx((3 * 0.313262 + math.log(2)) / 4, abs=1e-5)
    assert measures["overconfidence"].value == pytest.approx(-3 * 0.268941 / 4, abs=1e-5)
    assert _accuracy(tmp_path, rankings, table, unit=c.Unit.group)["all"].n == 1


def test_validation_rankings_are_read_if_there_are_no_test_ones(tmp_path: Path) -> None:
    # The model is right on the test pair and wrong on the validation pair: the accuracy shows
    # which of the two was read.
    validation = [Ranking(Prompt("v", "one", split="validation"), ("good", "bad"), ((1, 0),))]
    table = {"good": 1.0, "bad": 0.0}
    assert _accuracy(tmp_path, validation, table)["all"].value == 0.0
    both = [*validation, Ranking(Prompt("t", "two", split="test"), ("good", "bad"), ((0, 1),))]
    assert _accuracy(tmp_path, both, table)["all"].value == 1.0
    assert _accuracy(tmp_path, both, table, split=c.HeldOut.validation)["all"].value == 0.0
    train = Ranking(Prompt("x", "one", split="train"), ("good", "bad"), ((0, 1),))
    with pytest.raises(UserError, match="no test or validation rankings"):
        _accuracy(tmp_path, [train], table)
    with pytest.raises(UserError, match="no test rankings"):
        _accuracy(tmp_path, validation, table, split=c.HeldOut.test)


def test_overconfidence_of_calibrated_and_of_exaggerated_rewards(tmp_path: Path) -> None:
    # 3 of 4 votes on each pair prefer the first. Rewards that are log 3 apart give it the
    # probability sigma(log 3) = 0.75, which is right; rewards that are 10 apart give it 1.0.
    votes = ((0, 1), (0, 1), (0, 1), (1, 0))
    rankings = [
        Ranking(Prompt(str(i), "one", split="test"), ("good", "bad"), votes) for i in range(20)
    ]
    calibrated = _accuracy(tmp_path, rankings, {"good": math.log(3), "bad": 0.0})
    assert calibrated["overconfidence"].value == pytest.approx(0.0, abs=1e-6)
    # the smallest possible loss is the entropy of a 3 : 1 vote
    entropy = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert calibrated["loss"].value == pytest.approx(entropy, abs=1e-6)
    exaggerated = _accuracy(tmp_path, rankings, {"good": 10.0, "bad": 0.0})
    assert exaggerated["overconfidence"].value == pytest.approx(0.25, abs=1e-4)


def test_a_reward_of_length_is_no_better_than_length(tmp_path: Path) -> None:
    texts = ["good", "good good", "good good good"]
    rankings = [
        Ranking(Prompt(str(i), "one", split="test"), tuple(texts), ((2, 1), (0, 2)))
        for i in range(20)
    ]
    measures = _accuracy(tmp_path, rankings, {t: float(len(t)) for t in texts})
    assert measures["all"].value == measures["length"].value == 0.5
    # Of -1 to 1, without spread: +- 2 z / (1 + z^2 / 20) * z / 40 = 2 * 3.8415 / 47.68 = .1611.
    difference = measures["difference"]
    assert (difference.value, difference.n) == (0.0, 20)
    assert (difference.low, difference.high) == pytest.approx((-0.1611, 0.1611), abs=1e-4)
    assert math.isnan(measures["matched"].value)  # no pair of similar length


class Reads:
    """Scores a response that its prompt asks for."""

    def score(self, rollout: Rollout) -> torch.Tensor:
        both = zip(rollout.prompts, rollout.texts, strict=True)
        return torch.tensor([float(prompt.text == text) for prompt, text in both])


def test_two_prompts_with_one_id_are_two(tmp_path: Path) -> None:
    """As of two files: a response to one of them is not scored behind the other. The same prompt
    twice is one."""
    one, two = (Prompt("p", text, split="test") for text in ("good", "bad"))
    texts = ("good", "bad")
    rankings = [
        Ranking(one, texts, ((0, 1),)),
        Ranking(two, texts, ((1, 0),)),
        Ranking(two, texts, ((1, 0),)),
    ]
    context = FakeContext(tmp_path, rankings, reward=Reads())
    nothing = Rollout.from_tokens(context.tokenizer, [], [], [])
    subject = Subject(context.responder("base"), nothing, None, None)
    found = RewardAccuracy(c.RewardAccuracyConfig(), context).evaluate(subject).measures
    assert (found["reward_accuracy/proxy/all"].value, found["reward_accuracy/proxy/all"].n) == (
        1,
        2,
    )
