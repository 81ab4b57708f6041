"""The bag of words keeps preflab's contracts, and it is a logistic regression."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from preflab.errors import UserError
from preflab.records import Prompt, Ranking, Rollout
from preflab.testing import FakeContext, ProcedureContract, RewardModelContract, tiny_records
from scipy.optimize import check_grad

from preflab_pairs.bag_of_words import Array, Fitting, differences, loss_and_gradient, read
from preflab_pairs.config import BagOfWordsConfig


class TestBagOfWords(ProcedureContract, RewardModelContract):
    name = "bag_of_words"
    overrides = ("reward_model.iterations=1",)
    seeded = False


def _rankings(right: int, wrong: int) -> list[Ranking]:
    """Rankings of "good" against "bad": good wins ``right`` times and loses ``wrong`` times."""
    prompt = Prompt("1", "one", split="train")
    wins = Ranking(prompt, ("good", "bad"), ((0, 1),))
    losses = Ranking(prompt, ("good", "bad"), ((1, 0),))
    return [wins] * right + [losses] * wrong


def test_one_difference_has_the_closed_form(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, _rankings(right=3, wrong=1))
    config = BagOfWordsConfig(l2=0.0)
    fitting = Fitting(config, context)
    for index in range(fitting.total_steps):
        fitting.step(index)
    fitting.save(context.folder)
    model = read(config, context)
    rollout = Rollout.from_texts(context.tokenizer, [Prompt("1", "one")] * 2, ["good", "bad"])
    good, bad = model.score(rollout).tolist()
    assert good - bad == pytest.approx(math.log(3 / 1), abs=1e-3)  # the odds of winning are 3 to 1
    assert good + bad == pytest.approx(0.0, abs=1e-6)  # the offset: ranked responses have mean 0


def test_the_gradient_is_that_of_the_loss() -> None:
    rankings = [r for r in tiny_records() if isinstance(r, Ranking)]
    words = ["good", "bad", "one", "two", "."]
    x, weights = differences(rankings, words)
    w = np.linspace(-1, 1, len(words))

    def loss(v: Array) -> float:
        return loss_and_gradient(v, x, weights, 0.1)[0]

    def gradient(v: Array) -> Array:
        return loss_and_gradient(v, x, weights, 0.1)[1]

    assert check_grad(loss, gradient, w) < 1e-6


def test_every_ranking_has_the_same_weight() -> None:
    prompt = Prompt("1", "p")
    three = Ranking(prompt, ("a", "b", "c"), ((0, 1), (0, 2), (1, 2)))
    x, weights = differences([three, Ranking(prompt, ("b", "a"), ((0, 1),))], ["a", "b"])
    assert x.tolist() == [[1, -1], [1, 0], [0, 1], [-1, 1]]
    assert weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_rankings_that_are_all_ties_are_refused(tmp_path: Path) -> None:
    ties = [Ranking(Prompt("1", "p", split="train"), ("a", "b"), ())]
    with pytest.raises(UserError, match="all are ties"):
        Fitting(BagOfWordsConfig(), FakeContext(tmp_path, ties))
