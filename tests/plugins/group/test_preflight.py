"""What a run of group baselines says and refuses before its first stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.options import problems
from preflab.records import Prompt
from preflab_builtin.group import preflight as of_group
from preflab_builtin.group.config import GroupConfig, GroupKLConfig, Place, Scale
from preflab_builtin.on_policy.config import KLEstimator
from preflab_builtin.online_dpo import preflight as of_pairs
from preflab_builtin.online_dpo.config import OnlineDPOConfig
from support import WORDS, FakeContext


def test_choices_that_move_the_optimum_are_said(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, [Prompt("p", "one", split="train")])
    k3, k2, weighted_k3 = (
        GroupKLConfig(place=Place.loss, estimator=estimator)
        for estimator in (KLEstimator.k3, KLEstimator.k2, KLEstimator.weighted_k3)
    )
    none = GroupKLConfig(place=Place.loss, coef=0.0)
    said = [
        list(of_group.preflight(GroupConfig(**options), context))
        for options in (
            {},
            {"kl": k3},
            {"kl": k2},
            {"kl": weighted_k3},
            {"scale": Scale.group},
            {"kl": none},
        )
    ]
    assert [len(sentences) for sentences in said] == [0, 2, 1, 1, 1, 0]
    assert "k3" in said[1][0]
    # Per token, whatever the estimator; what ends at the optimum is the KL in the reward alone.
    assert said[1][1] == said[2][0] == said[3][0]
    assert said[2][0].endswith("algorithm.kl.place=reward ends there.")
    assert "standard deviation" in said[4][0]


def test_groups_are_whole_and_a_minibatch_may_divide_them() -> None:
    wrong = dict(problems(GroupConfig(batch=64, minibatch=64, samples=6)))
    assert wrong == {"batch": "is 64 but must be a multiple of samples (6)"}
    assert not dict(problems(GroupConfig(batch=64, minibatch=4, samples=8)))


@pytest.mark.parametrize(
    "preflight, config",
    [(of_group.preflight, GroupConfig()), (of_pairs.preflight, OnlineDPOConfig())],
)
def test_a_prompt_that_is_too_long_is_refused(preflight: Any, config: Any, tmp_path: Path) -> None:
    # 12 words and a response of up to 8 tokens do not fit into 16 positions.
    context = FakeContext(
        tmp_path,
        [Prompt("long", " ".join(WORDS[:12]), split="train")],
        policy_config={"family": "gpt2", "max_positions": 16},
    )
    with pytest.raises(UserError, match="long"):
        list(preflight(config, context))
