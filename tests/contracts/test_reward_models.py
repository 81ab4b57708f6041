"""The built-in reward models keep the contract that third parties keep."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from plugins.causal_lm.test_exports import folder_of
from preflab.interfaces import HasHeads
from preflab.testing import FakeContext, ProcedureContract, RewardModelContract
from preflab_builtin.groups.heads import MEAN_VARIANCE
from tiny_classifier import write_classifier


class TestKwise(ProcedureContract, RewardModelContract):
    name = "kwise"
    overrides = ("reward_model.max_tokens=4",)


class TestPlackettLuce(ProcedureContract, RewardModelContract):
    name = "kwise"
    overrides = ("reward_model.loss=plackett_luce",)


class TestKwiseGroups(ProcedureContract, RewardModelContract):
    name = "kwise_groups"
    required = ("kwise",)


class TestKwiseMeanVariance(ProcedureContract, RewardModelContract):
    name = "kwise_mean_variance"
    required = ("kwise",)


class TestPretrainedMeanVariance(RewardModelContract):
    name = "pretrained_mean_variance"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        policy = FakeContext(folder).policy("base")
        assert isinstance(policy, HasHeads)
        heads = policy.heads_model(torch.Generator().manual_seed(1), MEAN_VARIANCE)
        heads.save(folder / "model")
        return [f"reward_model.path={folder / 'model'}"]


class TestPretrainedGroups(RewardModelContract):
    name = "pretrained_groups"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        policy = FakeContext(folder).policy("base")
        assert isinstance(policy, HasHeads)
        policy.heads_model(torch.Generator().manual_seed(1), ["a", "b"]).save(folder / "model")
        return [f"reward_model.path={folder / 'model'}"]


class TestSum(ProcedureContract, RewardModelContract):
    name = "combined"
    required = ("members",)
    overrides = (
        "reward_model=sum",
        "+reward_model@reward_model.members.short=length",
        "+reward_model.weights.short=0.2",
        "+reward_shaping@reward_model.shaping.learned=soft_clip",
    )


class TestEnsemble(ProcedureContract, RewardModelContract):
    name = "combined"
    required = ("members",)
    overrides = ("reward_model=ensemble",)


class TestPretrained(RewardModelContract):
    name = "pretrained"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        policy = FakeContext(folder).policy("base")
        policy.scalar_model(torch.Generator().manual_seed(1)).save(folder / "model")
        return [f"reward_model.path={folder / 'model'}"]


class TestLength(RewardModelContract):
    name = "length"


class TestContains(RewardModelContract):
    name = "contains"


class TestNoise(RewardModelContract):
    name = "noise"


class TestGold(RewardModelContract):
    name = "gold"


class TestClassifier(RewardModelContract):
    name = "classifier"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        path = write_classifier(folder / "model")
        return [f"reward_model.path={path}", "reward_model.label=toxic"]


class TestJudge(RewardModelContract):
    name = "judge"
    required = ("path",)

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        path = folder_of("gpt2", folder / "model")
        return [f"reward_model.path={path}", "reward_model.max_tokens=20"]


@pytest.mark.skipif(
    find_spec("vaderSentiment") is None, reason="the extra sentiment is not installed"
)
class TestVader(RewardModelContract):
    name = "vader"
