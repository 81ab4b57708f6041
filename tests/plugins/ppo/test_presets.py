"""The shipped presets of rewards, comparisons, selection and algorithms compose, and printed
values are the printed ones."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab import UserError
from preflab.composing import compose as composition
from preflab.composing import search_path
from preflab.door.choice import Choice
from preflab.planning.asking import needs
from preflab.planning.reading import choose

GROUPS = {
    "algorithm": ["best_of_n", "ppo", "ppo_ptx", "ppo_instructgpt", "ppo_ptx_instructgpt"],
    "reward_model": [
        *("kwise", "kwise_instructgpt"),
        *("length", "contains", "noise", "gold", "vader"),
    ],
    "samples": ["sampled"],
    "comparisons": ["ranked"],
    "select": ["reward_model"],
}


def preset(group: str, name: str, *overrides: str) -> Choice:
    config: Any = OmegaConf.to_container(
        composition.compose(overrides, f"{group}/{name}"), resolve=True
    )
    return choose(search_path.registry(), group, config[group], group)


@pytest.mark.parametrize(
    "group,name", [(group, name) for group, names in GROUPS.items() for name in names]
)
def test_every_option_composes(group: str, name: str) -> None:
    assert preset(group, name).config.name in name
    file = search_path.config_root() / group / f"{name}.yaml"
    assert not file.is_file() or file.read_text().startswith("# ")


def test_a_reward_model_folder_must_be_named() -> None:
    with pytest.raises(UserError, match=r"reward_model\.path is empty"):
        preset("reward_model", "pretrained")
    assert (
        preset("reward_model", "pretrained", "reward_model.path=somewhere").config.path
        == "somewhere"
    )


def test_printed_values_of_ppo() -> None:
    for name in ("ppo_instructgpt", "ppo_ptx_instructgpt"):
        ppo = preset("algorithm", name).config
        # 500 iterations, 4,000 steps.
        assert (ppo.episodes, ppo.batch, ppo.minibatch, ppo.epochs) == (
            256_000,
            512,
            64,
            1,
        )
        assert (ppo.kl.coef, ppo.kl.controller.value, ppo.clip.ratio, ppo.ema) == (
            0.02,
            "fixed",
            0.2,
            0.992,
        )
        assert (ppo.advantage.gamma, ppo.value.lr) == (1.0, 9e-6)
        for optimizer in (ppo.policy, ppo.value):
            assert (optimizer.schedule.value, optimizer.warmup, optimizer.warmup_fraction) == (
                "constant",
                10,
                0.1,
            )
            assert (optimizer.beta1, optimizer.beta2) == (0.9, 0.95)
        assert 2.55e-6 <= ppo.policy.lr <= 2.55e-5
    ptx = preset("algorithm", "ppo_ptx_instructgpt").config.terms["ptx"]
    assert (ptx.coef, ptx.ratio) == (27.8, 8)


@pytest.mark.parametrize("pair", [("ppo", "ppo_ptx"), ("ppo_instructgpt", "ppo_ptx_instructgpt")])
def test_ptx_is_ppo_plus_one_term_and_nothing_else(pair: tuple[str, str]) -> None:
    plain, mixed = (vars(preset("algorithm", name).config) for name in pair)
    assert plain["terms"] == {}
    assert list(mixed["terms"]) == ["ptx"]
    assert {k: v for k, v in plain.items() if k != "terms"} == {
        k: v for k, v in mixed.items() if k != "terms"
    }


def test_needs_follow_from_the_terms() -> None:
    own = {"prompts", "reward_model", "scalar_model"}
    assert needs(preset("algorithm", "ppo")) == own
    assert needs(preset("algorithm", "ppo_ptx")) == own | {"documents"}
    assert needs(preset("algorithm", "ppo_ptx", "algorithm.terms.ptx.coef=0")) == own
    assert needs(preset("algorithm", "none")) == set()


def test_printed_values_of_the_reward_model() -> None:
    kwise = preset("reward_model", "kwise_instructgpt").config
    optimizer = kwise.optimizer
    assert (kwise.epochs, kwise.batch, optimizer.lr) == (1, 64, 9e-6)
    assert (optimizer.schedule.value, optimizer.final_fraction) == ("cosine", 0.1)
