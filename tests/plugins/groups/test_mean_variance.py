"""Mean and variance of what a response is worth: by hand, and as an ordinary folder."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from preflab.errors import UserError
from preflab.interfaces import HasNetwork
from preflab.offload import networks_of
from preflab.options import problems
from preflab.records import Prompt, Ranking, Rollout
from preflab_builtin.groups import preflight as groups_preflight
from preflab_builtin.groups.config import (
    MeanVarianceConfig,
    PretrainedGroupsConfig,
    PretrainedMeanVarianceConfig,
)
from preflab_builtin.groups.evaluators import HiddenContextConfig
from preflab_builtin.groups.mean_variance import (
    HiddenContext,
    both,
    explained,
    mean_variance,
    mean_variance_training,
    preflight,
    pretrained,
    probit_loss,
    valued,
)
from preflab_builtin.reward_model.config import KwiseConfig, RankingLoss
from support import WORDS, FakeContext, UncheckedReward

NORMAL = NormalDist()


def test_the_loss_by_hand() -> None:
    # Means 2, 1, 0; variances 1, 3, 3. First against second: z = 1 / sqrt(1 + 3); against the
    # third: 2 / sqrt(1 + 3).
    values = torch.tensor([[2.0, 0.0], [1.0, math.log(3)], [0.0, math.log(3)]])
    expected = -(math.log(NORMAL.cdf(0.5)) + math.log(NORMAL.cdf(1.0))) / 2
    assert float(probit_loss(values, ((0, 1), (0, 2)))) == pytest.approx(expected, rel=1e-5)
    assert float(probit_loss(values, ())) == 0.0
    # Far in the tail the logarithm stays a number: -log Phi(-z) is near z^2 / 2.
    tail = float(probit_loss(torch.tensor([[-60.0, 0.0], [60.0, 0.0]]), ((0, 1),)))
    assert tail == pytest.approx(120**2 / 4, rel=0.01)


def test_a_common_scale_changes_nothing() -> None:
    values = torch.randn(4, 2, generator=torch.Generator().manual_seed(2))
    scaled = torch.stack([3 * values[:, 0] + 7, values[:, 1] + math.log(9)], 1)
    order = ((2, 0), (1, 3), (2, 3))
    assert torch.allclose(probit_loss(values, order), probit_loss(scaled, order), atol=1e-6)


def test_the_reward_is_the_mean_or_a_quantile() -> None:
    values = torch.tensor([[1.0, math.log(4)], [0.5, math.log(0.25)]])
    assert valued(values, None).tolist() == [1.0, 0.5]
    # The lower tenth is 1.2816 standard deviations (2 and 0.5) below the mean.
    assert valued(values, 0.1).tolist() == pytest.approx([1 - 2.5631, 0.5 - 0.6408], abs=1e-4)
    assert valued(values, 0.5).tolist() == pytest.approx([1.0, 0.5])


def test_the_explained_share_by_hand() -> None:
    # Two prompts: means 0, 2 and 4, 6, variance 1 each. Around 3: 9 + 1 + 1 + 9 = 20 of 24; around
    # the prompts' own 1 and 5: 1 + 1 + 1 + 1 = 4, and times 2 / (2 - 1): 8 of 12.
    values = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [6.0, 0.0]])
    squares, totals = explained(values, [2, 2], within=False)
    assert (squares, totals) == ([10.0, 10.0], [12.0, 12.0])
    squares, totals = explained(values, [2, 2], within=True)
    assert (squares, totals) == ([4.0, 4.0], [6.0, 6.0])


# --- training ---

ANSWERS = ("please", "red", "bad")


def rankings(split: str = "train") -> list[Ranking]:
    """Red is better than bad for everybody; half find please best, the other half worst."""
    orders = (((0, 1), (0, 2), (1, 2)), ((1, 0), (2, 0), (1, 2)))
    return [
        Ranking(Prompt(f"{split}{i}", WORDS[i], split=split), ANSWERS, orders[i % 2])
        for i in range(8)
    ]


def config_of(**values: Any) -> MeanVarianceConfig:
    return MeanVarianceConfig(kwise=KwiseConfig(epochs=1, batch=4), **values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mean_variance")
    kwise = KwiseConfig(steps=30, batch=8)
    kwise.optimizer.lr = 0.01
    training = mean_variance_training(MeanVarianceConfig(kwise=kwise), context(place))
    for index in range(training.total_steps):
        training.step(index)
    training.save(place)
    return place


def context(place: Path) -> FakeContext:
    return FakeContext(place, [*rankings(), *rankings("test")])


def rows(place: Path) -> Rollout:
    prompts = [Prompt("p", WORDS[0])] * 3
    return Rollout.from_texts(context(place).tokenizer, prompts, ANSWERS)


def test_what_divides_people_has_the_largest_variance(folder: Path) -> None:
    reward = mean_variance(config_of(), context(folder))
    mean, log_variance = both(reward, rows(folder)).unbind(1)
    assert int(log_variance.argmax()) == 0  # please
    assert float(mean[1]) > float(mean[2])
    wary = mean_variance(config_of(quantile=0.05), context(folder)).score(rows(folder))
    assert int((mean - wary).argmax()) == 0
    assert isinstance(reward, HasNetwork)
    (scoring,) = networks_of(reward)  # what leaves memory: the one that scores, and no copy of it
    assert scoring is reward.model
    assert torch.equal(reward.score(rows(folder)), mean)


def test_the_folder_is_an_ordinary_one(folder: Path) -> None:
    module = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    assert module.config.num_labels == 2
    assert module.config.id2label == {0: "mean", 1: "log_variance"}
    model = context(folder).load_heads(folder / "model")
    assert model.offsets[0] != 0.0  # the mean is centred, the variance has a zero of its own
    assert model.offsets[1] == 0.0


def test_a_given_folder_is_used_at_any_quantile(folder: Path) -> None:
    config = PretrainedMeanVarianceConfig(path=str(folder / "model"), quantile=0.2)
    assert not list(preflight(config, context(folder)))
    own = mean_variance(config_of(quantile=0.2), context(folder)).score(rows(folder))
    assert torch.equal(pretrained(config, context(folder)).score(rows(folder)), own)
    groups = PretrainedGroupsConfig(path=str(folder / "model"))
    with pytest.raises(UserError, match="no groups: choose reward_model=pretrained_mean_variance"):
        list(groups_preflight.pretrained_groups(groups, context(folder)))


def test_heads_of_groups_are_no_mean_and_variance(tmp_path: Path) -> None:
    policy: Any = context(tmp_path).policy("base")
    policy.heads_model(torch.Generator().manual_seed(1), ["a", "b"]).save(tmp_path / "model")
    with pytest.raises(UserError, match=r"has the heads a, b.*pretrained_groups"):
        list(
            preflight(PretrainedMeanVarianceConfig(path=str(tmp_path / "model")), context(tmp_path))
        )


def test_the_evaluator_reports_the_explained_share(folder: Path) -> None:
    place = context(folder)
    place = FakeContext(
        folder, [*rankings(), *rankings("test")], reward=mean_variance(config_of(), place)
    )
    subject: Any = None
    found = HiddenContext(HiddenContextConfig(), place).evaluate(subject).measures
    whole, within = (found[f"hidden_context/{n}"].value for n in ("explained", "explained_within"))
    assert 0 < within < 1
    assert 0 < whole < 1
    # A second person who ranks the same responses makes no prompt more.
    twice = FakeContext(
        folder, [*rankings(), *rankings("test"), *rankings("test")], reward=place.reward_model()
    )
    assert HiddenContext(HiddenContextConfig(), twice).evaluate(subject).measures == found
    # Another prompt does, also with the same id.
    renamed = [replace(r, prompt=replace(r.prompt, text="other")) for r in rankings("test")]
    place = FakeContext(
        folder, [*rankings(), *rankings("test"), *renamed], reward=place.reward_model()
    )
    more = HiddenContext(HiddenContextConfig(), place).evaluate(subject).measures
    for name, measure in found.items():
        assert more[name].n == 2 * (measure.n or 0)
    other = FakeContext(folder, rankings(), reward=UncheckedReward(lambda prompt, text: 0.0))
    with pytest.raises(UserError, match="kwise_mean_variance"):
        HiddenContext(HiddenContextConfig(), other)


@pytest.mark.parametrize(
    "kwise, key",
    [
        (KwiseConfig(loss=RankingLoss.plackett_luce), "kwise.loss"),
        (KwiseConfig(margin=1.0), "kwise.margin"),
        (KwiseConfig(label_smoothing=0.1), "kwise.label_smoothing"),
        (KwiseConfig(seed=1), "kwise.seed"),
        (None, "kwise"),
    ],
)
def test_options_of_another_loss_are_refused(kwise: KwiseConfig | None, key: str) -> None:
    assert key in [name for name, _ in problems(MeanVarianceConfig(kwise=kwise))]
    assert "quantile" in [n for n, _ in problems(config_of(quantile=1.0))]
