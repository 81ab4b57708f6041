"""The other built-in stages keep the contract of every procedure: pretraining, SFT, samples,
comparisons, selection, evaluation."""

from __future__ import annotations

from preflab.testing import ComponentContract, FakeContext, ProcedureContract


class TestPretraining(ProcedureContract, ComponentContract):
    kind = "pretrain"
    name = "documents"


class TestFineTuning(ProcedureContract, ComponentContract):
    kind = "sft"
    name = "demonstrations"
    overrides = ("sft.dropout=0.2", "sft.mix_coef=1", "sft.mix_window=8")


class TestSamples(ProcedureContract, ComponentContract):
    kind = "samples"
    name = "sampled"


class TestComparisons(ProcedureContract, ComponentContract):
    kind = "comparisons"
    name = "ranked"
    seeded = False  # the tiny world's one labeler always says the same


class TestSelection(ProcedureContract, ComponentContract):
    kind = "select"
    name = "reward_model"

    @classmethod
    def arrange(cls, context: FakeContext) -> None:
        for number, name in enumerate(("epoch-1", "epoch-2", "epoch-10")):
            policy = context.policy("base")
            for parameter in policy.module.parameters():
                parameter.data.mul_(1 + number)
            policy.save(context.folder / "checkpoints" / name)


class TestLast(ComponentContract):
    kind = "select"
    name = "last"


class TestEvaluation(ProcedureContract, ComponentContract):
    kind = "evaluation"
    name = "suite"
    overrides = ("evaluation=ladder",)
