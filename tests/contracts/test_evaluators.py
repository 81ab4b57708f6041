"""The built-in evaluators keep the contract that strangers' do."""

from __future__ import annotations

from preflab.testing import ComponentContract, EvaluatorContract


class TestReward(EvaluatorContract):
    name = "reward"


class TestGold(EvaluatorContract):
    name = "gold"


class TestWinRate(EvaluatorContract):
    name = "win_rate"


class TestWinRateByReward(EvaluatorContract):
    name = "win_rate"
    overrides = ("evaluation=samples",)


class TestLength(EvaluatorContract):
    name = "length"


class TestKL(EvaluatorContract):
    name = "kl"


class TestFamilies(EvaluatorContract):
    name = "families"


class TestDocumentLoss(EvaluatorContract):
    name = "document_loss"


class TestRewardAccuracy(EvaluatorContract):
    name = "reward_accuracy"


class TestBestOfNCurve(EvaluatorContract):
    name = "best_of_n_curve"


class TestRatings(ComponentContract):  # it asks the embedded world's people, whom the tiny world has not
    kind = "evaluator"
    name = "ratings"


class TestLabelerGroups(ComponentContract):  # as above
    kind = "evaluator"
    name = "labeler_groups"
