"""The built-in algorithms keep the contract that third parties keep."""

from __future__ import annotations

from typing import Any

import torch

from preflab.testing import AlgorithmContract, FakeContext, ResponderContract
from preflab_builtin.groups.scoring import GroupRewards, WeightedReward


class TestPPO(AlgorithmContract):
    name = "ppo"
    overrides = (
        "algorithm.kl.controller=adaptive",
        "algorithm.ema=0.9",
        "+reward_shaping@algorithm.shaping.length=length_penalty",
    )


class TestPPOPtx(AlgorithmContract):
    name = "ppo"
    overrides = ("algorithm=ppo_ptx",)


class TestGroup(AlgorithmContract):
    name = "group"
    overrides = ("algorithm=rloo", "algorithm.ema=0.9")


class TestGRPOPtx(AlgorithmContract):
    name = "group"
    overrides = ("algorithm=grpo_ptx",)


class TestResampling(AlgorithmContract):
    name = "group"
    overrides = ("algorithm=rloo", "algorithm.resample=2")


PTX = "+schema/gradient_term@algorithm.terms.ptx=ptx"


class TestExpertIteration(AlgorithmContract):
    name = "expert_iteration"
    overrides = ("algorithm.kl.controller=adaptive", "algorithm.ema=0.9", PTX)


class TestOnlineDPO(AlgorithmContract):
    name = "online_dpo"
    overrides = ("algorithm.resample=1", PTX)


class TestPreference(AlgorithmContract):
    name = "preference"
    overrides = ("algorithm=dpo_ptx",)


class TestKTO(AlgorithmContract):
    name = "preference"
    overrides = ("algorithm=kto", "algorithm.liked_weight=1.3")


class TestBestOfN(ResponderContract):
    name = "best_of_n"


class TestForGroups(AlgorithmContract):
    name = "for_groups"
    required = ("algorithm",)
    overrides = ("algorithm.prefix='{group} is '",)

    @classmethod
    def arrange(cls, context: FakeContext) -> None:
        heads: Any = context.policy("base")
        model = heads.heads_model(torch.Generator().manual_seed(1), ["red", "blue"])
        context._reward = WeightedReward(
            GroupRewards(model, [0.5, 0.5], [1.0, 1.0], context.runtime)
        )


class TestGuarded(ResponderContract):
    name = "guarded"
    required = ("guard",)
    overrides = (
        *("+guard@algorithm.guard=words", "algorithm.guard.words=[a]"),
        "algorithm.refusal=.",  # of the few words of the tiny world
    )


class TestSteered(ResponderContract):
    name = "steered"
    required = ("wanted",)
    overrides = ("algorithm.wanted='good '", "algorithm.unwanted='bad '")


class TestNone(ResponderContract):
    name = "none"


class TestTermsOnly(AlgorithmContract):
    name = "terms_only"
    required = ("terms",)
    overrides = ("algorithm=ptx_only",)
