"""Programmatic rewards: each is a function of prompt and text, with values by hand."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import kstest

from preflab.errors import UserError
from preflab.interfaces import RewardModel
from preflab.options import problems
from preflab.records import Prompt, Rollout
from preflab_builtin.rewards.config import ContainsConfig
from preflab_builtin.rewards.functions import (
    contains_reward,
    gold_reward,
    length_reward,
    noise_reward,
)
from support import FakeContext, builtin

PROMPT = Prompt("p", "red blue")


def built(name: str, context: FakeContext, **options: Any) -> RewardModel:
    component = builtin("reward_model", name)
    assert component.build is not None
    assert component.procedure is None
    model: RewardModel = component.build(component.config_class(**options), context)
    return model


def score(model: RewardModel, context: FakeContext, *texts: str) -> list[float]:
    found = model.score(Rollout.from_texts(context.tokenizer, [PROMPT] * len(texts), texts))
    assert found.dtype == torch.float32
    return found.tolist()


def test_length(tmp_path: Path) -> None:
    # -.5 * |words - 3|
    context = FakeContext(tmp_path)
    model = built("length", context, target=3, scale=0.5)
    assert score(model, context, "red", "red blue please", "red red red red") == pytest.approx(
        [-1.0, 0.0, -0.5]
    )
    assert length_reward(0, 1.0)(PROMPT, "") == 0


def test_contains(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    model = built("contains", context, words=["please", "thanks"])
    assert score(model, context, "red", "please please", "thanks red please") == [0.0, 0.5, 1.0]
    assert contains_reward(["plea"])(PROMPT, "please") == 0  # whole words only
    (problem,) = problems(ContainsConfig(words=[]))
    assert problem == ("words", "is empty but must name one word at least")


def test_noise_is_fixed_by_draw_prompt_and_text() -> None:
    noise = noise_reward(0)
    assert noise(PROMPT, "red") == noise(PROMPT, "red")
    others = [
        noise(PROMPT, "blue"),
        noise(Prompt("q", "red blue"), "red"),
        noise_reward(1)(PROMPT, "red"),
    ]
    assert noise(PROMPT, "red") not in others


def test_noise_is_standard_normal() -> None:
    noise = noise_reward(3)
    values = [noise(PROMPT, str(i)) for i in range(4000)]
    assert kstest(values, "norm").pvalue > 1e-3


class Truth:
    """A gold utility: the number of words, and nothing for manners."""

    def parts(self, prompt: Prompt, response: str) -> Mapping[str, float]:
        return {
            "gold": float(len(response.split())),
            "helpful": float(len(response.split())),
            "harmless": 0.0,
        }


def test_gold_needs_a_world_that_knows_it(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, gold=Truth())
    assert score(built("gold", context), context, "red", "red blue") == [1.0, 2.0]
    with pytest.raises(UserError, match="data=microworld"):
        gold_reward(FakeContext(tmp_path).gold)


def test_vader_scores_prompt_and_response_or_the_response_alone(tmp_path: Path) -> None:
    pytest.importorskip("vaderSentiment", reason="the extra sentiment is not installed")
    context = FakeContext(tmp_path, vocabulary=None)
    prompt = Prompt("v", "The film was terrible, awful and")

    def both(text: str, **options: Any) -> float:
        rollout = Rollout.from_texts(context.tokenizer, [prompt], [text])
        return float(built("vader", context, **options).score(rollout)[0])

    assert both(" a great joy", whole_text=False) > 0.5
    assert both(" a great joy") < both(" a great joy", whole_text=False)
    assert both(" sad") < 0
    assert both(" a great joy", whole_text=False, scale=2.0) == pytest.approx(
        2 * both(" a great joy", whole_text=False)
    )


def test_vader_without_its_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("vaderSentiment"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"preflab\[sentiment\]"):
        built("vader", FakeContext(tmp_path))
