"""The built-in algorithms keep the contract that third parties keep."""

from __future__ import annotations

from preflab.testing import AlgorithmContract, ResponderContract


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
