"""Learning rates by the size of a model, and those that would ruin it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from preflab.composing.compose import compose
from preflab.learning_rates import (
    FAR,
    GPT3,
    far_above,
    fine_tuning_rate,
    pretraining_rate,
    rates,
    too_low,
)
from preflab.optimization import OptimizerConfig
from preflab.planning.reading import job_of
from preflab_builtin.ppo.config import PPOConfig
from preflab_builtin.reward_model.config import KwiseConfig

SMOLLM2 = 134_515_008
"""Parameters of SmolLM2-135M."""


def test_the_published_rates_are_met_and_larger_models_take_smaller_ones() -> None:
    for size, rate in GPT3:
        assert pretraining_rate(size) == pytest.approx(rate)
    sizes = [10**e for e in range(5, 14)]
    assert sorted(map(pretraining_rate, sizes), reverse=True) == [*map(pretraining_rate, sizes)]


def test_between_two_sizes_the_rate_is_interpolated_on_logarithmic_scales() -> None:
    """Between 125M (6e-4) and 350M (3e-4): at their geometric mean the rates' geometric mean."""
    assert pretraining_rate((125e6 * 350e6) ** 0.5) == pytest.approx((6e-4 * 3e-4) ** 0.5)


def test_beyond_the_table_its_whole_slope_goes_on() -> None:
    """1,400 times the parameters have a tenth of the rate; so 1/1,400 of 125M has ten times 6e-4,
    and 1,400 times 175B a tenth of 0.6e-4."""
    assert pretraining_rate(125e6 / 1400) == pytest.approx(6e-3)
    assert pretraining_rate(175e9 * 1400) == pytest.approx(0.6e-5)


@pytest.mark.parametrize(
    "size,rate",
    [(117e6, 6.25e-5), (7e9, 2e-5), (1.3e9, 9.65e-6), (6e9, 9.65e-6), (175e9, 5.03e-6)],
)
def test_published_fine_tuning_is_near_a_tenth_and_never_far(size: float, rate: float) -> None:
    """GPT-1, Alpaca, and the three sizes of InstructGPT."""
    assert 0.4 < rate / fine_tuning_rate(size) < 2.1
    assert not list(far_above([("lr", rate)], int(size)))


def test_rates_are_found_wherever_a_config_has_an_optimizer() -> None:
    config = PPOConfig(policy=OptimizerConfig(lr=1e-5), value=OptimizerConfig(lr=2e-5))
    found = {"algorithm.policy.lr": 1e-5, "algorithm.value.lr": 2e-5}
    assert dict(rates(config, "algorithm")) == found

    @dataclass
    class Inner:
        optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(lr=0.5))

    @dataclass
    class Outer:
        inner: Inner = field(default_factory=Inner)

    assert dict(rates(Outer(), "mine")) == {"mine.inner.optimizer.lr": 0.5}
    assert list(rates(None, "mine")) == []


def test_a_reward_model_of_which_only_the_head_learns_changes_nothing_pretrained() -> None:
    whole = KwiseConfig(optimizer=OptimizerConfig(lr=1e-3))
    assert dict(rates(whole, "reward_model")) == {"reward_model.optimizer.lr": 1e-3}
    assert list(rates(replace(whole, trainable_layers=0), "reward_model")) == []
    assert list(rates(replace(whole, trainable_layers=1), "reward_model"))


def test_what_is_far_above_is_told_with_the_words_that_mend_it() -> None:
    """A tenth of GPT-3's rate at 135M is 5.7e-5, to one digit 6e-5: 3e-4 is the last that is not
    far above it."""
    found = [("a.lr", 1e-3), ("b.lr", 3.01e-4), ("c.lr", FAR * 6e-5)]
    (said,) = far_above(found, SMOLLM2)
    assert said.startswith("a.lr=0.001, b.lr=0.000301: far above what is usual")
    assert "of 134,515,008 parameters, about 6e-05 (a tenth" in said
    assert said.endswith("Unless you want that: a.lr=6e-05 b.lr=6e-05")
    assert not list(far_above(found[2:], SMOLLM2))


def test_what_is_too_low_for_adapters_is_told_with_the_words_that_raise_it() -> None:
    """7B is fine-tuned at 1e-5: below 2e-5 a rate is made for all weights. Ten times each is told,
    but at least 2e-5, so that it is not told again, and at most 1e-4."""
    found = [("a.lr", 3e-6), ("b.lr", 9e-6), ("c.lr", 1e-6), ("d.lr", 1.9e-5)]
    (said,) = too_low([*found, ("e.lr", 2e-5), ("f.lr", 0.0)], 7_000_000_000)
    assert said.startswith(
        "a.lr=3e-06, b.lr=9e-06, c.lr=1e-06, d.lr=1.9e-05: made for training all"
    )
    cure = said.partition("Unless you want that: ")[2]
    assert cure == "a.lr=3e-05 b.lr=9e-05 c.lr=2e-05 d.lr=0.0001"
    raised = [(key, float(rate)) for key, _, rate in (w.partition("=") for w in cure.split())]
    assert not list(too_low(raised, 7_000_000_000))


def _told(parameters: int, *words: str) -> set[str]:
    """Keys of the rates of a composed run that are far above those for a model of a size."""
    run = job_of(compose(["pretrain=none", *words], with_hydra=True)).run
    choices = [choice for stage in run.stages for choice in stage.choice.all()]
    found = [rate for choice in choices for rate in rates(choice.config, choice.key)]
    said = "".join(far_above(found, parameters))
    return {word.partition("=")[0] for word in said.partition(": far")[0].split(", ") if word}


@pytest.mark.slow
def test_presets_for_the_tiny_policy_are_told_and_presets_for_real_models_are_not() -> None:
    everywhere = {"sft.optimizer.lr", "reward_model.optimizer.lr", "algorithm.value.lr"}
    assert everywhere <= _told(SMOLLM2)
    assert {*everywhere, "algorithm.policy.lr"} <= _told(350_000_000)
    assert not _told(900_000), "the size that they were made for"
    for words in (
        ("sft=pretrained", "reward_model=kwise_smollm2", "algorithm=ppo_smollm2"),
        ("sft=pretrained", "reward_model=kwise_smollm2", "algorithm=rloo_smollm2"),
        ("sft=pretrained", "reward_model=kwise_smollm2", "algorithm=grpo_smollm2"),
        ("sft=pretrained", "reward_model=kwise_smollm2", "algorithm=dpo_smollm2"),
        ("sft=pretrained", "reward_model=kwise_ratings", "algorithm=ppo_ptx_smollm2"),
        ("sft=instructgpt_ppo_init", "reward_model.trainable_layers=0", "algorithm=none"),
    ):
        assert not _told(SMOLLM2, *words)
    for words in (
        ("sft=pretrained", "reward_model=kwise_pretrained", "algorithm=ppo_pretrained"),
        ("sft=pretrained", "reward_model=kwise_pretrained", "algorithm=ppo_ptx_pretrained"),
        ("sft=instructgpt", "reward_model=kwise_instructgpt", "algorithm=ppo_instructgpt"),
    ):
        assert not _told(SMOLLM2, *words)
        assert not _told(175_000_000_000, *words)
