"""Reward shapings in a row: applied in order, reported, and stopped where they give no score."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from preflab.errors import PluginError
from preflab.records import Prompt, Rollout
from preflab.shaping import shaped
from support import WORDS, FakeContext

SCORES = torch.tensor([1.0, 3.0])


@pytest.fixture
def rollout(tmp_path: Any) -> Rollout:
    prompts = [Prompt(f"p{i}", WORDS[i]) for i in range(2)]
    return Rollout.from_texts(FakeContext(tmp_path).tokenizer, prompts, [WORDS[0], WORDS[1]])


def test_they_are_applied_in_order_and_each_says_how_far_it_moved_the_mean(
    rollout: Rollout,
) -> None:
    double, less = (lambda scores, _: 2 * scores), (lambda scores, _: scores - 1)
    scores, metrics = shaped({"double": double, "less": less}, SCORES, rollout)
    assert scores.tolist() == [1.0, 5.0]  # 2 * 1 - 1, 2 * 3 - 1
    # The mean goes from 2 to 4 to 3.
    assert metrics == {"shaping/double": 2.0, "shaping/less": -1.0}
    scores, metrics = shaped({"less": less, "double": double}, SCORES, rollout)
    assert scores.tolist() == [0.0, 4.0]
    assert metrics == {"shaping/less": -1.0, "shaping/double": 1.0}


def test_without_any_the_scores_are_the_same_object(rollout: Rollout) -> None:
    scores, metrics = shaped({}, SCORES, rollout)
    assert scores is SCORES
    assert metrics == {}


def test_what_they_are_given_can_be_changed_in_place(rollout: Rollout) -> None:
    _, metrics = shaped({"double": lambda scores, _: scores.mul_(2)}, SCORES, rollout)
    assert SCORES.tolist() == [1.0, 3.0]
    assert metrics == {"shaping/double": 2.0}


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "'odd' returned None for scores of the shape [2]"),
        (3.0, "'odd' returned 3.0 for scores"),
        (torch.ones(2, 1), "'odd' returned the shape [2, 1] for scores of the shape [2]"),
        (
            torch.tensor([0.5, math.nan]),
            "'odd' made the score 3.0 of prompt 'p1' nan: a score must be finite",
        ),
        (torch.tensor([-math.inf, 0.0]), "'odd' made the score 1.0 of prompt 'p0' -inf"),
    ],
)
def test_what_is_no_score_stops_and_names_the_shaping(
    rollout: Rollout, returned: Any, said: str
) -> None:
    with pytest.raises(PluginError) as raised:
        shaped({"odd": lambda scores, _: returned}, SCORES, rollout)
    assert said in str(raised.value)
