"""What rewards of groups become: by hand, and against plain loops in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflab.errors import UserError
from preflab.options import problems
from preflab_builtin.groups.config import KwiseGroupsConfig, Welfare
from preflab_builtin.groups.scoring import _scales
from preflab_builtin.groups.welfare import (
    centred,
    group_weights,
    same_scale,
    weighted,
    weighted_by_tag,
    worst,
)
from preflab_builtin.reward_model.config import KwiseConfig

NAMES = ("few", "many")
SHARES = (0.2, 0.8)


def drawn(rows: int = 7, groups: int = 3) -> torch.Tensor:
    return torch.randn(rows, groups, generator=torch.Generator().manual_seed(3), dtype=torch.double)


PROMPTS = ["a", "b", "a", "c", "b", "a", "d"]
"""c and d have one row."""


def test_weights_by_hand() -> None:
    assert group_weights(Welfare.population, NAMES, SHARES, {}) == [0.2, 0.8]
    assert group_weights(Welfare.equal, NAMES, SHARES, {}) == [0.5, 0.5]
    # 3 of 4; one that is missing has nothing.
    assert group_weights(Welfare.weights, NAMES, SHARES, {"few": 3.0, "many": 1.0}) == [0.75, 0.25]
    assert group_weights(Welfare.weights, NAMES, SHARES, {"few": 3.0}) == [1.0, 0.0]
    assert group_weights(Welfare.worst, NAMES, SHARES, {}) == [0.5, 0.5]
    # 0.25 * 2 + 0.75 * 4 = 3.5
    assert weighted(torch.tensor([[2.0, 4.0]]), [0.25, 0.75]).tolist() == [3.5]


def test_weights_by_tag_by_hand() -> None:
    rewards = torch.tensor([[2.0, 4.0]] * 4)
    by_tag = {"own": [1.0, 0.0], "half": [0.5, 0.5]}
    tags = [("other",), ("own", "other"), ("own", "half"), ()]
    # The usual weights: 0.25 * 2 + 0.75 * 4 = 3.5. One tag: 2. Two: weights 0.75, 0.25, so 2.5.
    found = weighted_by_tag(rewards, tags, [0.25, 0.75], by_tag)
    assert found.tolist() == [3.5, 2.0, 2.5, 3.5]
    assert weighted_by_tag(torch.zeros(0, 2), [], [0.25, 0.75], by_tag).shape == (0,)


def test_the_same_scale_leaves_the_unit_of_the_sum() -> None:
    # Spreads 1, 2, 6 become 3, their mean, each.
    scaled = [s * f for s, f in zip((1.0, 2.0, 6.0), same_scale((1.0, 2.0, 6.0)), strict=True)]
    assert scaled == pytest.approx([3.0, 3.0, 3.0])


@pytest.mark.parametrize("flat", [0.0, 1e-7, 0.004])
def test_a_head_that_tells_nothing_apart_is_not_scaled_up(flat: float) -> None:
    """The mean of 0.004 and 1 is 0.502, of which 1 % is 0.005: a flatter head would be scaled up by
    more than a hundred. One of 0.006 is above 1 % of 0.503."""
    config: Any = SimpleNamespace(standardise=True)

    def model(spread: float) -> Any:
        return SimpleNamespace(names=("few", "many"), spreads=(spread, 1.0))

    with pytest.raises(UserError, match=r"reward_model.standardise .*'few' does so by less than 1"):
        _scales(config, model(flat), "reward_model")
    assert _scales(config, model(0.006), "reward_model") == same_scale((0.006, 1.0))


def test_worst_equals_a_loop() -> None:
    rewards = drawn()
    expected = []
    for i, prompt in enumerate(PROMPTS):
        rows = [j for j, other in enumerate(PROMPTS) if other == prompt]
        own = rewards[i].tolist()
        means = [sum(float(rewards[j, g]) for j in rows) / len(rows) for g in range(3)]
        lowest = min(r - m for r, m in zip(own, means, strict=True))
        expected.append(lowest if len(rows) > 1 else sum(own) / 3)
    assert worst(rewards, PROMPTS).tolist() == pytest.approx(expected, abs=1e-12)


def test_worst_by_hand() -> None:
    # Means 2 and 20: centred (-1, 5) and (1, -5). The raw minimum would be the first group alone.
    assert worst(torch.tensor([[1.0, 25.0], [3.0, 15.0]]), ["a", "a"]).tolist() == [-1.0, -5.0]


def test_the_zero_of_a_group_at_a_prompt_changes_nothing() -> None:
    # Rankings say nothing about it, so that no welfare may depend on it within a prompt.
    rewards, moved = drawn(), drawn()
    for g, prompt, by in ((0, "a", 9.0), (2, "b", -5.0)):
        moved[[p == prompt for p in PROMPTS], g] += by
    assert torch.allclose(centred(rewards, PROMPTS), centred(moved, PROMPTS))
    assert torch.allclose(worst(rewards, PROMPTS), worst(moved, PROMPTS))
    assert not torch.equal(rewards.argmin(1), moved.argmin(1))  # the raw minimum would


def test_no_rows() -> None:
    assert worst(torch.zeros(0, 2), []).shape == (0,)


@pytest.mark.parametrize(
    "values, key",
    [
        ({"welfare": Welfare.weights}, "weights"),
        ({"weights": {"few": 1.0}}, "weights"),
        ({"welfare": Welfare.weights, "weights": {"few": -1.0}}, "weights.few"),
        ({"welfare": Welfare.weights, "weights": {"few": 0.0}}, "weights"),
        ({"weights_by_tag": {"open_qa": {}}}, "weights_by_tag.open_qa"),
        ({"weights_by_tag": {"open_qa": {"few": -1.0}}}, "weights_by_tag.open_qa.few"),
        ({"welfare": Welfare.worst, "weights_by_tag": {"open_qa": {"few": 1.0}}}, "weights_by_tag"),
        ({"kwise": KwiseConfig(seed=3)}, "kwise.seed"),
        ({"kwise": None}, "kwise"),
        ({"shrink": -1.0}, "shrink"),
    ],
)
def test_what_is_refused(values: dict[str, object], key: str) -> None:
    config = KwiseGroupsConfig(**{"kwise": KwiseConfig(), **values})  # type: ignore[arg-type]
    assert key in [name for name, _ in problems(config)]


def test_there_is_no_raw_minimum() -> None:
    assert [str(w) for w in Welfare] == ["population", "equal", "weights", "worst"]
    assert not list(problems(KwiseGroupsConfig(kwise=KwiseConfig(), welfare=Welfare.worst)))
