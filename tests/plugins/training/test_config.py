"""Options of training: what contradicts itself is refused, with what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from preflab.options import problems
from preflab_builtin.evaluation.config import GoldConfig, KLConfig
from preflab_builtin.training.config import TrainedConfig, WatchConfig

JUDGES = {"gold": GoldConfig(), "kl": KLConfig()}


def watch(**options: Any) -> WatchConfig:
    return WatchConfig(every=5, evaluators=dict(JUDGES), **options)


@pytest.mark.parametrize(
    "config",
    [
        TrainedConfig(),
        TrainedConfig(watch=watch()),
        TrainedConfig(watch=watch(), keep="best:gold/gold"),
        TrainedConfig(watch=watch(patience=2, checkpoints=3), keep="least:kl/reference"),
        # An evaluator of somebody else's, which does not say what it measures.
        TrainedConfig(watch=WatchConfig(every=1, evaluators={"x": object()}), keep="best:x/y"),
    ],
)
def test_what_fits(config: TrainedConfig) -> None:
    assert list(problems(config)) == []


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        (TrainedConfig(keep="bets:gold/gold"), "keep", "must be last, best:MEASURE or least:"),
        (TrainedConfig(keep="best:"), "keep", "must be last, best:MEASURE or least:"),
        (TrainedConfig(keep="best:gold/gold"), "keep", "nothing is measured: set watch.every"),
        (TrainedConfig(watch=watch(patience=1)), "watch.patience", "set keep=best:MEASURE"),
        (TrainedConfig(watch=WatchConfig(every=1)), "watch.evaluators", r"add +watch=proxy"),
        (TrainedConfig(watch=WatchConfig(checkpoints=2)), "watch.checkpoints", "set every"),
        (TrainedConfig(watch=WatchConfig(every=0)), "watch.every", "must be >= 1"),
    ],
)
def test_what_contradicts_itself(config: TrainedConfig, key: str, said: str) -> None:
    ((name, message),) = problems(config)
    assert name == key
    assert said in message


def test_who_is_watched_needs_prompts_of_the_split() -> None:
    assert TrainedConfig().needs() == ()
    assert TrainedConfig(watch=watch()).needs() == ("prompts:validation",)
