"""What holds for every algorithm on the core that has no value network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflab.rewards import FunctionReward
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.rewards.functions import contains_reward, length_reward
from support import largest_difference
from tiny_on_policy import ALGORITHMS, tiny
from tiny_ppo import steps, weights


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_term_with_coef_zero_is_not_there_bit_for_bit(name: str, tmp_path: Path) -> None:
    plain = tiny(name, tmp_path)
    zero = tiny(name, tmp_path, terms={"ptx": PtxConfig(coef=0.0)})
    ptx = tiny(name, tmp_path, terms={"ptx": PtxConfig(coef=1.0, window=8)})
    rows = [steps(p, 0, 2) for p in (plain, zero, ptx)]
    assert rows[0] == rows[1]
    assert largest_difference(weights(plain), weights(zero)) == 0
    assert "loss/ptx" in rows[2][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reward", "options", "least"),
    [
        # The share of responses with the word, from below 0.3.
        (
            "expert_iteration",
            contains_reward(["please"]),
            {"kl": KLPenaltyConfig(coef=0.01)},
            lambda first: max(0.6, 2 * first),
        ),
        # Minus the distance from two words: two fifths of it go.
        ("online_dpo", length_reward(2, 1.0), {}, lambda first: 0.6 * first),
    ],
)
def test_it_learns_what_is_rewarded(
    name: str, reward: Any, options: dict[str, Any], least: Any, tmp_path: Path
) -> None:
    sizes = {"episodes": 1600, "batch": 80, "minibatch": 20}
    procedure = tiny(name, tmp_path, reward=FunctionReward(reward), **sizes, **options)
    rows = steps(procedure, 0, procedure.total_steps)
    first, last = (sum(r["objective/scores"] for r in part) / 3 for part in (rows[:3], rows[-3:]))
    assert last > least(first)
