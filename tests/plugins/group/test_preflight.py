"""What a run of group baselines says and refuses before its first stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.records import Prompt
from preflab_builtin.group import preflight as of_group
from preflab_builtin.group.config import GroupConfig, GroupKLConfig, Place, Scale
from preflab_builtin.on_policy.config import KLEstimator
from preflab_builtin.online_dpo import preflight as of_pairs
from preflab_builtin.online_dpo.config import OnlineDPOConfig
from support import WORDS, FakeContext


def test_choices_that_move_the_optimum_are_said(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, [Prompt("p", "one", split="train")])
    loss = GroupKLConfig(place=Place.loss, estimator=KLEstimator.k3)
    said = [
        list(of_group.preflight(GroupConfig(**options), context))
        for options in ({}, {"kl": loss}, {"scale": Scale.group}, {"kl": GroupKLConfig(coef=0.0)})
    ]
    assert [len(sentences) for sentences in said] == [0, 1, 1, 0]
    assert "k3" in said[1][0]
    assert "standard deviation" in said[2][0]


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
